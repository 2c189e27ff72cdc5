package main

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// given is a list as somebody sends it: the file, and what stands in it.
type given struct {
	name  string
	data  []byte
	flags []string
	// back are the forms in which a report is asked for.
	back []string
	// wants are the pairs with a cell of the list that a person knows the row by, in the order of the report.
	wants []wanted
	// said is what the reader is told about the list, among other things.
	said []string
	// column is the heading of that cell.
	column string
}

type wanted struct{ user, role, cell string }

// exportOfHR is what an HR system writes for Excel in China: GB18030, titles above the header, wide separators, no-break blanks
// after ids, a total below.
func exportOfHR(t *testing.T, rows int) given {
	g := given{name: "离职名单2026年12月.csv", column: "员工姓名", back: []string{".xlsx"},
		said: []string{"表头在第 4 行", "作为合计（不是人员）跳过：第 2005 行", "首尾的 2,000 个不可见字符", "未使用的列：序号, 部门, 最后工作日"}}
	var text strings.Builder
	text.WriteString("某某科技有限公司,,,,,\r\n2026年12月离职员工（导出时间：2026-12-31 18:00）,,,,,\r\n,,,,,\r\n序号,员工姓名,员工UserID,部门,最后工作日,角色ID\r\n")
	for i := 1; i <= rows; i++ {
		user, name := fmt.Sprintf("%06d", 3000+i), fmt.Sprintf("王芳%d", i)
		roles := []string{"1507113578", strconv.Itoa(1507113600 + i%7)}
		fmt.Fprintf(&text, "%d,%s,%s\u00a0,\"研发部,平台组\",2026/12/31,%s\r\n", i, name, user, strings.Join(roles, "；"))
		for _, role := range roles {
			g.wants = append(g.wants, wanted{user, role, name})
		}
	}
	fmt.Fprintf(&text, "合计,%d人,,,,\r\n", rows)
	var err error
	if g.data, err = simplifiedchinese.GB18030.NewEncoder().Bytes([]byte(text.String())); err != nil {
		t.Fatal(err)
	}
	return g
}

// savedByWPS is a workbook as WPS writes it: the used range says A1, no part is said for the workbook's own relations, the core
// properties have what other programs call an error, a vendor's property beside; strings are shared and carry phonetic
// runs, ids of roles are numbers in a format with separators, one sheet is hidden.
func savedByWPS(t *testing.T, rows int) given {
	g := given{name: "离职.xlsx", column: "姓名", back: []string{".xlsx", ".csv"}, said: []string{"未使用的列：部门"}}
	var shared []string
	at := map[string]int{}
	str := func(cell, s string) string {
		if _, known := at[s]; !known {
			at[s] = len(shared)
			shared = append(shared, s)
		}
		return fmt.Sprintf(`<c r="%s" s="1" t="s"><v>%d</v></c>`, cell, at[s])
	}
	var cells strings.Builder
	row := func(n int, cs ...string) {
		fmt.Fprintf(&cells, `<row r="%d" spans="1:4" customFormat="1" ht="17.6" customHeight="1">%s</row>`, n, strings.Join(cs, ""))
	}
	row(1, str("A1", "员工UserID"), str("B1", "姓名"), str("C1", "部门"), str("D1", "角色ID"))
	for i := 1; i <= rows; i++ {
		n, user, name := i+1, fmt.Sprintf("wps.%d", i), fmt.Sprintf("李雷%d", i)
		role := strconv.Itoa(1507113578 + i%3)
		row(n, str(fmt.Sprintf("A%d", n), user), str(fmt.Sprintf("B%d", n), name), str(fmt.Sprintf("C%d", n), "财务部"),
			fmt.Sprintf(`<c r="D%d" s="2"><v>%s</v></c>`, n, role))
		g.wants = append(g.wants, wanted{user, role, name})
	}
	var strs strings.Builder
	for _, s := range shared {
		var escaped bytes.Buffer
		xml.EscapeText(&escaped, []byte(s))
		fmt.Fprintf(&strs, `<si><t>%s</t><phoneticPr fontId="1" type="noConversion"/></si>`, &escaped)
	}
	const sheet = `xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"`
	const office, pack = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/", "http://schemas.openxmlformats.org/package/2006/"
	g.data = zipped(t,
		"[Content_Types].xml", `<Types xmlns="`+pack+`content-types"><Default Extension="xml" ContentType="application/xml"/>`+
			`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>`+
			`<Override PartName="/docProps/app.xml" ContentType="application/vnd.openxmlformats-officedocument.extended-properties+xml"/>`+
			`<Override PartName="/docProps/core.xml" ContentType="application/vnd.openxmlformats-package.core-properties+xml"/>`+
			`<Override PartName="/docProps/custom.xml" ContentType="application/vnd.openxmlformats-officedocument.custom-properties+xml"/>`+
			`<Override PartName="/xl/sharedStrings.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"/>`+
			`<Override PartName="/xl/styles.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.styles+xml"/>`+
			`<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>`+
			`<Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>`+
			`<Override PartName="/xl/worksheets/sheet2.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>`,
		"_rels/.rels", `<Relationships xmlns="`+pack+`relationships"><Relationship Id="rId4" Type="`+office+`custom-properties" Target="docProps/custom.xml"/>`+
			`<Relationship Id="rId3" Type="`+pack+`relationships/metadata/core-properties" Target="docProps/core.xml"/>`+
			`<Relationship Id="rId2" Type="`+office+`extended-properties" Target="docProps/app.xml"/><Relationship Id="rId1" Type="`+office+`officeDocument" Target="xl/workbook.xml"/></Relationships>`,
		"docProps/app.xml", `<Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/extended-properties" xmlns:vt="http://schemas.openxmlformats.org/officeDocument/2006/docPropsVTypes">`+
			`<Application>WPS 表格</Application><HeadingPairs><vt:vector size="2" baseType="variant"><vt:variant><vt:lpstr>工作表</vt:lpstr></vt:variant><vt:variant><vt:i4>2</vt:i4></vt:variant></vt:vector></HeadingPairs>`+
			`<TitlesOfParts><vt:vector size="2" baseType="lpstr"><vt:lpstr>离职员工</vt:lpstr><vt:lpstr>WpsReserved_CellImgList</vt:lpstr></vt:vector></TitlesOfParts></Properties>`,
		"docProps/core.xml", `<cp:coreProperties xmlns:cp="`+pack+`metadata/core-properties" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">`+
			`<dc:creator>人事</dc:creator><dcterms:created xsi:type="dcterms:W3CDTF">2026-12-31T10:00:00Z</dcterms:created><dcterms:modified xsi:type="dcterms:W3CDTF">2026-12-31T10:00:00Z</dcterms:modified><dcterms:alternative/></cp:coreProperties>`,
		"docProps/custom.xml", `<Properties xmlns="http://schemas.openxmlformats.org/officeDocument/2006/custom-properties" xmlns:vt="http://schemas.openxmlformats.org/officeDocument/2006/docPropsVTypes">`+
			`<property fmtid="{D5CDD505-2E9C-101B-9397-08002B2CF9AE}" pid="2" name="KSOProductBuildVer"><vt:lpwstr>2052-12.1.0.16729</vt:lpwstr></property></Properties>`,
		"xl/_rels/workbook.xml.rels", `<Relationships xmlns="`+pack+`relationships"><Relationship Id="rId4" Type="`+office+`sharedStrings" Target="sharedStrings.xml"/>`+
			`<Relationship Id="rId3" Type="`+office+`styles" Target="styles.xml"/><Relationship Id="rId2" Type="`+office+`worksheet" Target="worksheets/sheet2.xml"/>`+
			`<Relationship Id="rId1" Type="`+office+`worksheet" Target="worksheets/sheet1.xml"/></Relationships>`,
		"xl/workbook.xml", `<workbook `+sheet+`><fileVersion appName="xl" lastEdited="3" lowestEdited="5" rupBuild="9302"/><workbookPr/><bookViews><workbookView windowWidth="27945" windowHeight="12255"/></bookViews>`+
			`<sheets><sheet name="离职员工" sheetId="1" r:id="rId1"/><sheet name="WpsReserved_CellImgList" sheetId="2" state="veryHidden" r:id="rId2"/></sheets><calcPr calcId="144525"/></workbook>`,
		"xl/styles.xml", `<styleSheet `+sheet+`><numFmts count="1"><numFmt numFmtId="41" formatCode="_ * #,##0_ ;_ * \-#,##0_ ;_ * &quot;-&quot;_ ;_ @_ "/></numFmts><fonts count="2"><font><sz val="11"/><name val="宋体"/><charset val="134"/></font>`+
			`<font><sz val="9"/><name val="宋体"/><charset val="134"/></font></fonts><fills count="1"><fill><patternFill patternType="none"/></fill></fills><borders count="1"><border/></borders>`+
			`<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs><cellXfs count="3"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>`+
			`<xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/><xf numFmtId="41" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/></cellXfs>`+
			`<cellStyles count="1"><cellStyle name="常规" xfId="0" builtinId="0"/></cellStyles></styleSheet>`,
		"xl/sharedStrings.xml", fmt.Sprintf(`<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" count="%d" uniqueCount="%d">%s</sst>`, len(shared), len(shared), &strs),
		"xl/worksheets/sheet1.xml", `<worksheet `+sheet+`><sheetPr/><dimension ref="A1"/><sheetViews><sheetView tabSelected="1" workbookViewId="0"/></sheetViews><sheetFormatPr defaultColWidth="9" defaultRowHeight="13.5"/><sheetData>`+
			cells.String()+`</sheetData><pageMargins left="0.75" right="0.75" top="1" bottom="1" header="0.5" footer="0.5"/></worksheet>`,
		"xl/worksheets/sheet2.xml", `<worksheet `+sheet+`><sheetPr/><dimension ref="A1"/><sheetData/></worksheet>`)
	return g
}

// exportOfTheConsole is what DingTalk's administration console exports: strings stand in the cells, two rows of words above the
// header, no roles. Names repeat, and a department has several levels.
func exportOfTheConsole(t *testing.T, rows int) given {
	g := given{name: "通讯录导出.xlsx", column: "姓名", back: []string{".csv"}, flags: []string{"--role", "1507113578"}, said: []string{"表头在第 3 行"}}
	f := excelize.NewFile()
	defer f.Close()
	f.SetSheetName("Sheet1", "员工信息")
	w, err := f.NewStreamWriter("员工信息")
	if err != nil {
		t.Fatal(err)
	}
	w.MergeCell("A1", "H1")
	w.SetRow("A1", []any{"某某科技有限公司 通讯录 导出时间 2026-12-31"})
	w.SetRow("A2", []any{"说明：红色字段为必填；员工UserID 不可修改"})
	w.SetRow("A3", []any{"员工UserID（不可修改）", "部门", "职位", "姓名", "工号", "是否此部门主管(是/否)", "手机号", "邮箱"})
	for i := 1; i <= rows; i++ {
		user, name := fmt.Sprintf("2055%012d7", 1_000_000+i), fmt.Sprintf("张伟%d", i%50)
		if err := w.SetRow(fmt.Sprintf("A%d", i+3), []any{user, "某某科技-研发部-平台组", "工程师", name, fmt.Sprintf("%05d", i), "否", fmt.Sprintf("+86-138%08d", i), ""}); err != nil {
			t.Fatal(err)
		}
		g.wants = append(g.wants, wanted{user, "1507113578", name})
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := f.Write(&b); err != nil {
		t.Fatal(err)
	}
	g.data = b.Bytes()
	return g
}

// zipped packs files by name.
func zipped(t *testing.T, files ...string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, err := z.Create(files[i])
		if err == nil {
			_, err = w.Write([]byte(`<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n" + files[i+1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A list goes in as it was given, and comes back whole, in its order, beside the name that its reader knows.
func TestAListGoesInAsItIsAndComesBackReadable(t *testing.T) {
	for _, g := range []given{exportOfHR(t, 2000), savedByWPS(t, 400), exportOfTheConsole(t, 300)} {
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			list := filepath.Join(dir, g.name)
			if err := os.WriteFile(list, g.data, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, ending := range g.back {
				back := filepath.Join(dir, "结果"+ending)
				a, stdout, stderr := testApp("", false, map[string]string{"UNROLE_QPS": "1000"})
				code := a.main(t.Context(), append([]string{"run", "--simulate", list, "--report", back, "--lang", "zh"}, g.flags...))
				if code != exitDone {
					t.Fatalf("exit %d: %s", code, stderr)
				}
				for _, words := range g.said {
					if !strings.Contains(stderr.String(), words) {
						t.Errorf("does not say %q: %s", words, stderr)
					}
				}
				if want := fmt.Sprintf("%s 条", thousands(len(g.wants))); !strings.Contains(stdout.String(), want) {
					t.Errorf("does not say %q: %s", want, stdout)
				}
				g.compare(t, back)
			}
		})
	}
}

// compare reads a report as its reader does.
func (g given) compare(t *testing.T, name string) {
	t.Helper()
	rows := cellsIn(t, name)
	at := map[string]int{}
	for i, heading := range rows[0] {
		at[heading] = i
	}
	var got []wanted
	for n, row := range rows[1:] {
		if outcome, words := row[at["outcome"]], row[at["meaning"]]; outcome != "removed" || words != "已移除" || row[at["simulated"]] == "" {
			t.Fatalf("row %d: %q", n+2, row)
		}
		got = append(got, wanted{row[at["user_id"]], row[at["role_id"]], row[at[g.column]]})
	}
	if !slices.Equal(got, g.wants) {
		t.Errorf("%s: %d rows came back, want %d; the first %v", name, len(got), len(g.wants), got[:min(3, len(got))])
	}
}

// cellsIn are all cells of a table.
func cellsIn(t *testing.T, name string) [][]string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Ext(name) == ".csv" {
		text, marked := bytes.CutPrefix(data, []byte("\ufeff"))
		rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
		if err != nil || !marked {
			t.Fatalf("%v, marked %v", err, marked)
		}
		return rows
	}
	f, err := excelize.OpenReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := f.GetRows(f.GetSheetList()[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows { // the last cells of a row are left out where they are empty
		rows[i] = append(rows[i], make([]string, len(rows[0])-len(rows[i]))...)
	}
	return rows
}
