package lists

import (
	"maps"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// Field is what a column or a JSON field holds.
type Field string

// The fields, people's from the most exact to the least.
const (
	FieldUserID    Field = "user_id"
	FieldUnionID   Field = "union_id"
	FieldMobile    Field = "mobile"
	FieldJobNumber Field = "job_number"
	FieldEmail     Field = "email"
	FieldName      Field = "name"
	FieldRoleID    Field = "role_id"
	FieldRole      Field = "role"
)

// fields lists them with the headings by which they are known, as plain makes them of a heading. Those that stand for a
// staff number are never taken for a user id, nor is what may be either.
var fields = []struct {
	field    Field
	headings string
}{
	{FieldUserID, "userid dingtalkuserid dinguserid dingtalkid staffid employeeuserid memberuserid 用户id 员工userid 用户userid 成员userid " +
		"人员userid 钉钉userid 钉钉id 钉钉用户id 钉钉员工id 成员id 员工用户id 用户标识 用户唯一标识"},
	{FieldUnionID, "unionid dingtalkunionid 员工unionid 用户unionid 钉钉unionid"},
	{FieldMobile, "mobile mobileno mobilenumber mobilephone mobilephonenumber phone phoneno phonenumber cellphone cellphonenumber telephone tel " +
		"手机 手机号 手机号码 移动电话 电话 电话号码 联系电话 联系方式 员工手机号"},
	{FieldJobNumber, "jobnumber jobno jobnum staffno staffnumber staffnum employeeno employeenumber employeenum employeecode employeeid empno empid " +
		"empcode personnelnumber personnelno workno worknumber badge badgenumber 工号 员工id 人员id 员工工号 人员工号 职工号 职工编号 员工编号 员工号 人员编号 职员代码 职员编号"},
	{FieldEmail, "email emailaddress mail mailaddress workemail 邮箱 邮件 电子邮箱 电子邮件 邮箱地址 企业邮箱 工作邮箱 公司邮箱"},
	{FieldName, "name fullname employeename staffname membername 姓名 名字 员工姓名 成员姓名 用户姓名 人员姓名"},
	{FieldRoleID, "roleid dingtalkroleid labelid 角色id 角色编号 角色标识 角色编码 钉钉角色id"},
	{FieldRole, "role rolename dingtalkrole 角色 角色名 角色名称 钉钉角色 角色组角色"},
}

// meanings is the field of every known heading, and whether it is a plural.
var meanings = func() map[string]column {
	known := map[string]column{}
	for _, f := range fields {
		for name := range strings.FieldsSeq(f.headings) {
			// Chinese has no plural.
			many := strings.ContainsFunc(name, han)
			known[name] = column{field: f.field, many: many}
			for _, plural := range []string{"s", "list", "列表", "清单"} {
				known[name+plural] = column{field: f.field, many: true}
			}
		}
	}
	return known
}()

func han(r rune) bool { return unicode.Is(unicode.Han, r) }

// column is a column of a table, or a field of JSON: where it is, what it holds, and whether it may hold several.
type column struct {
	at    int
	name  string
	field Field
	many  bool
	// lookup: of JSONL, nobody will look up what it holds.
	lookup bool
	// own: of a report of unrole, a column that its list had.
	own bool
}

func (f Field) ofRoles() bool { return f == FieldRoleID || f == FieldRole }

// isID reports whether nothing of the field has to be looked up.
func (f Field) isID() bool { return f == FieldUserID || f == FieldRoleID }

// kind is how a field of people names them.
func (f Field) kind() NamedBy {
	return map[Field]NamedBy{FieldUserID: UserID, FieldUnionID: UnionID, FieldMobile: Mobile, FieldJobNumber: JobNumber, FieldEmail: Email, FieldName: Name}[f]
}

// FieldNames are the fields by the names that --column takes, plurals included.
func FieldNames() []string {
	var names []string
	for _, f := range fields {
		names = append(names, string(f.field))
	}
	return append(names, "user_ids", "role_ids", "roles")
}

// plain is a heading without what differs between programs: width, case, blanks, signs between its words, and what stands
// in brackets after it.
func plain(heading string) string {
	heading = strings.ToLower(width.Fold.String(heading))
	if before, _, found := strings.Cut(heading, "("); found && strings.TrimSpace(before) != "" {
		heading = before
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unseen(r) || strings.ContainsRune("_-.*:：'\"/", r) {
			return -1
		}
		return r
	}, heading)
}

// meaning is the field that a heading stands for, by what a person said of it or by what is known.
func (in *input) meaning(heading string) (column, bool) {
	for _, name := range slices.Sorted(maps.Keys(in.opt.Columns)) {
		if said := in.opt.Columns[name]; said == heading || plain(said) == plain(heading) {
			c := meanings[plain(name)]
			return c, c.field != ""
		}
	}
	c, known := meanings[plain(heading)]
	if !known {
		// 工号（UserID） and the like: what is in the brackets counts where the words before it say nothing.
		folded := width.Fold.String(heading)
		if _, inside, found := strings.Cut(folded, "("); found {
			c, known = meanings[plain(strings.TrimRight(inside, ") "))]
		}
	}
	// A person named another column for it.
	if known && in.named(c.field) {
		return column{}, false
	}
	return c, known
}

// named reports whether a person said which column holds the field.
func (in *input) named(f Field) bool {
	for name := range in.opt.Columns {
		if meanings[plain(name)].field == f {
			return true
		}
	}
	return false
}
