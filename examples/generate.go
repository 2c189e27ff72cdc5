//go:build ignore

// Generate writes leavers.csv: the leavers of a company that closes some sites, as its HR system exports them.
//
//	go run examples/generate.go >examples/leavers.csv
package main

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const leavers = 300

// What the simulator refuses, see README.md.
const deletedRole = 1500000404

var goneUsers = []struct{ id, name string }{
	{"gone-000417", "杨涛"}, {"gone-002963", "刘明"}, {"gone-liuyang", "刘洋"}, {"gone-wangfang", "王芳"},
}

// Roles are numbered in blocks: departments, then titles, then what a person was granted besides.
const (
	departmentRoles = 1507113500
	titleRoles      = 1507113600
	extraRoles      = 1507113700
)

var departments = []string{"研发中心", "产品部", "质量部", "生产一部", "生产二部", "供应链", "销售华东", "销售华南", "市场部", "财务部", "人力资源部", "信息技术部"}

var titles = []string{"工程师", "高级工程师", "主管", "经理", "总监", "专员", "助理", "实习生"}

type name struct{ hanzi, pinyin string }

var families = []name{{"王", "wang"}, {"李", "li"}, {"张", "zhang"}, {"刘", "liu"}, {"陈", "chen"}, {"杨", "yang"}, {"赵", "zhao"},
	{"黄", "huang"}, {"周", "zhou"}, {"吴", "wu"}, {"徐", "xu"}, {"孙", "sun"}, {"胡", "hu"}, {"朱", "zhu"}, {"高", "gao"},
	{"林", "lin"}, {"何", "he"}, {"郭", "guo"}, {"马", "ma"}, {"罗", "luo"}}

var givens = []name{{"伟", "wei"}, {"芳", "fang"}, {"娜", "na"}, {"敏", "min"}, {"静", "jing"}, {"磊", "lei"}, {"军", "jun"}, {"洋", "yang"},
	{"勇", "yong"}, {"艳", "yan"}, {"杰", "jie"}, {"涛", "tao"}, {"明", "ming"}, {"超", "chao"}, {"秀英", "xiuying"},
	{"建国", "jianguo"}, {"志强", "zhiqiang"}, {"晓梅", "xiaomei"}, {"宇轩", "yuxuan"}, {"子涵", "zihan"}}

func main() {
	log.SetFlags(0)
	rng := rand.New(rand.NewPCG(2026, 20))
	out := bufio.NewWriter(os.Stdout)
	out.WriteString("\ufeff") // Excel reads Chinese only after a byte order mark
	w := csv.NewWriter(out)
	w.Write([]string{"name", "department", "title", "last_day", "user_id", "role_ids"})
	day := time.Date(2026, time.March, 31, 0, 0, 0, 0, time.UTC)
	taken := map[string]bool{}
	for i := range leavers {
		family, given := families[rng.IntN(len(families))], givens[rng.IntN(len(givens))]
		department, title := rng.IntN(len(departments)), rng.IntN(len(titles))
		person, id := family.hanzi+given.hanzi, ""
		if each := leavers / len(goneUsers); i%each == 40 {
			person, id = goneUsers[i/each].name, goneUsers[i/each].id
		} else {
			id = userID(rng, family, given, taken)
		}
		var roles []string
		for _, role := range rolesOf(rng, i, department, title) {
			roles = append(roles, strconv.FormatInt(role, 10))
		}
		w.Write([]string{person, departments[department], titles[title],
			day.AddDate(0, 0, -rng.IntN(14)).Format(time.DateOnly), id, strings.Join(roles, ";")})
	}
	w.Flush()
	if err := w.Error(); err != nil {
		log.Fatal(err)
	}
	if err := out.Flush(); err != nil {
		log.Fatal(err)
	}
}

// userID is an employee number mostly; where the directory grew by itself it is a name in pinyin.
func userID(rng *rand.Rand, family, given name, taken map[string]bool) string {
	var id string
	switch n := rng.IntN(20); {
	case n < 7:
		id = family.pinyin + given.pinyin
	default:
		id = fmt.Sprintf("%06d", 100+rng.IntN(9_000))
	}
	for n, base := 2, id; taken[id]; n++ {
		id = base + strconv.Itoa(n)
	}
	taken[id] = true
	return id
}

// rolesOf gives the three roles of the department, the two of the title, and what came with the years.
func rolesOf(rng *rand.Rand, i, department, title int) []int64 {
	var roles []int64
	for r := range 3 {
		roles = append(roles, int64(departmentRoles+3*department+r))
	}
	for r := range 2 {
		roles = append(roles, int64(titleRoles+2*title+r))
	}
	for rng.IntN(3) == 0 {
		if role := int64(extraRoles + rng.IntN(24)); !slices.Contains(roles, role) {
			roles = append(roles, role)
		}
	}
	if i%50 == 7 {
		roles = append(roles, deletedRole)
	}
	return roles
}
