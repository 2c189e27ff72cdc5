package texts

import "maps"

func init() { maps.Copy(inChinese, previewInChinese) }

// previewInChinese is what the web pages say from a list to its submission, by its English.
var previewInChinese = map[string]string{
	// The list.
	"mobile,role":                                                   "手机号,角色",
	"For a list that has people only":                               "名单中只有人员时",
	"Roles (names or ids, separated by commas)":                     "角色（名称或 ID，用逗号分隔）",
	"All roles that they hold, those of the default group excepted": "所拥有的全部角色（默认角色组除外）",
	"Roles to keep then (names or ids, separated by commas)":        "此时要保留的角色（名称或 ID，用逗号分隔）",
	"People are known by user id, mobile number, staff number (工号), e-mail address or name, roles by name or id, in columns with their usual headings; other columns do no harm. DingTalk is asked who is meant and who holds what. Several roles of one person may stand in one cell, separated by semicolons.": "人员可用 UserID、手机号、工号、邮箱或姓名表示，角色可用名称或 ID 表示，列名用常见写法即可，其他列不影响读取。随后会向钉钉核对具体是谁、谁拥有哪些角色。同一人的多个角色可写在一个单元格中，用分号分隔。",
	"Names, mobile and staff numbers are not looked up here: this console has no credentials of DingTalk.":  "此处不能查找姓名、手机号和工号：本控制台未配置钉钉应用凭证。",
	"Either all roles, or those that are named: not both.":                                                  "“全部角色”和指定角色只能选一种。",
	"Roles are taken by their ids only: this console has no credentials of DingTalk to look names up with.": "角色只能用 ID 表示：本控制台未配置钉钉应用凭证，无法查找名称。",
	"Many lists are being read just now; try again in a moment.":                                            "正在读取的名单较多，请稍后再试。",

	// Looking at DingTalk.
	"DingTalk is being looked at":         "正在向钉钉核对",
	"DingTalk could not be looked at":     "未能向钉钉核对",
	"Read from %s. Nothing is submitted.": "读自 %s。尚未提交任何内容。",
	"Who is meant, who holds what, what must not be touched: a long list takes minutes. This page may be closed and opened again; the list waits for two hours.": "核对具体是谁、谁拥有哪些角色、哪些不可改动；名单较长时需要几分钟。可以关闭此页稍后再打开，名单会保留两小时。",
	"Whoever looked has stopped: a newer list of yours was looked at instead, or the console was started anew.":                                                  "核对已中止：您又提交了新的名单，或控制台已重新启动。",
	"Administrators are not touched from here: take the role away in DingTalk's administration console, or ask whoever runs unrole.":                             "管理员不能在此移除：请在钉钉管理后台中移除其角色，或联系 unrole 的运维人员。",
	"Write roles as DingTalk's administration console shows them (Contacts, Roles): the name, GROUP/NAME, or the id.":                                            "角色请按钉钉管理后台（通讯录 — 角色）中的写法填写：角色名、“角色组/角色名”或 ID。",
	"Look again":                                 "重新核对",
	"Other lists are looked at first.":           "正在先核对其他名单。",
	"%d questions put to DingTalk, of about %d.": "已向钉钉查询 %d 次，共约 %d 次。",
	"%s. What ends it: %s":                       "%s。解决办法：%s",
	"DingTalk could not be asked: %v":            "无法查询钉钉：%v",
	"The list was looked at again meanwhile: this is what would be removed now.": "名单在此期间已重新核对：以下是现在将要移除的内容。",

	// What was seen.
	"Nothing of it can be submitted":                 "此名单不能提交",
	"Found in DingTalk":                              "已在钉钉中找到",
	"Fit several people":                             "对应多人",
	"Unknown":                                        "未找到",
	"Have left already":                              "已离职",
	"Contacts from outside":                          "外部联系人",
	"Not held, and left out":                         "并未拥有，不处理",
	"Left to them: of the default group, or to keep": "保留：属于默认角色组或指定保留",
	"Looked at":                                      "核对时间",
	"%d questions":                                   "查询 %d 次",
	"DingTalk was not looked at: who holds these roles is not known.": "未向钉钉核对：不清楚谁拥有这些角色。",
	"Who is meant?": "指的是哪一位？",
	"Several fit. Nobody is taken by guess: choose, or leave them out.": "有多个符合。系统不会猜测：请选择，或不处理。",
	"leave out": "不处理",
	"%d more fit: say by the id in the list who is meant":                           "另有 %d 个符合：请在名单中用 ID 指明",
	"Take these, and look again":                                                    "按所选重新核对",
	"Many holders of a role would lose it":                                          "某些角色的大部分成员将失去该角色",
	"%s: %d of its %d holders":                                                      "%s：%[3]d 名成员中的 %[2]d 名",
	"Rows of which nothing would be removed: %d":                                    "不会处理的行：%d",
	"Nothing would be removed: none of these roles is held by anybody for certain.": "没有可移除的内容：能够确定的人员都不拥有这些角色。",

	"Nothing here reaches DingTalk: a simulator answers in its place.": "此处的一切都不会到达钉钉：由模拟器代为应答。",

	// Confirming.
	"Remove the roles of %d people":                                                                             "移除 %d 人的角色",
	"I leave out the rows of which nothing would be removed: %d.":                                               "我确认不处理这些行：%d 行。",
	"I mean it, though many holders of a role lose it.":                                                         "我确认：某些角色的大部分成员将失去该角色。",
	"Go back and tick that this is meant: it concerns many people, many holders of a role, or leaves rows out.": "请返回勾选确认：此任务涉及人数较多、某角色的大部分成员，或有未处理的行。",
}
