package texts

import "maps"

// peopleInChinese is what is said about finding people and roles, by its English.
var peopleInChinese = map[string]string{
	"role id": "角色 ID",
	"group":   "角色组",
	"default group: change it in DingTalk's administration console": "默认角色组：请在钉钉管理后台中调整",
	"%s: %d people fit; name the one you mean by the user id":       "%s：有 %d 人符合，请用 UserID 指明是哪一位",
	"%s: %s (%s) left on %s":                                        "%s：%s（%s）已于 %s 离职",
	"%s: a contact from outside, who holds no role":                 "%s：外部联系人，没有角色",
	"%q names nobody: something has to stand behind the colon":      "%q 没有指明任何人：冒号后应有内容",
	"%q: %s": "%q：%s",
	"the column %q names roles: --all-roles is for an input without":                                                                     "列%q已写明角色：--all-roles 只用于没有角色列的名单",
	"%s is %s, not %s: the list may be shifted by a row, or the name has changed; correct the row, or take what is wrong out of it":      "%s 是 %s，而不是 %s：名单可能错了一行，或姓名已变更；请改正此行，或删去有误的内容",
	"role %s is of the default group, which follows the organisation's structure: it is taken away in DingTalk's administration console": "角色 %s 属于默认角色组，由组织架构决定：请在钉钉管理后台中移除",
	"%s: nobody whom this app may see in DingTalk is known by that":                                                                      "%s：在此应用可见的钉钉通讯录范围内查无此人",
	"%s: %s has left the organisation and holds no role any more; take the row out":                                                      "%s：%s 已离职，不再持有角色；请删去此行",
	"%s: DingTalk knows %s, who is not called exactly so; say who is meant by the user id":                                               "%s：钉钉中有 %s，但姓名不完全相同；请用 UserID 指明",
	"%s fits several people: %s; say which by the user id":                                                                               "%s 符合多人：%s；请用 UserID 指明是哪一位",
	"%s: %s is an administrator of the organisation, who is protected unless --even-admin is said":                                       "%s：%s 是企业管理员，受保护；确需移除请加 --even-admin",
	"no role has the id %s; unrole roles lists them":                                                                                     "没有 ID 为 %s 的角色；unrole roles 可列出全部角色",
	"no role is called %q; unrole roles lists them":                                                                                      "没有名为 %q 的角色；unrole roles 可列出全部角色",
	"%q is the name of several roles: %s; write GROUP/NAME, or the id":                                                                   "%q 是多个角色的名称：%s；请写“角色组/角色名”或 ID",
	"%q is the name of a role, which has to be looked up in DingTalk: that takes the app's credentials (see unrole roles for the ids)":   "%q 是角色名，须在钉钉中查询：需要应用凭证（角色 ID 见 unrole roles）",
	"DingTalk could not be looked at (%v): what follows is of the list as it stands":                                                     "无法查询钉钉（%v）：以下按名单原样计算",
	"%d rows are skipped": "略过 %d 行",
	"nothing was sent; correct the rows, or leave them out with --unresolved skip": "未发送任何请求；请改正各行，或用 --unresolved skip 略过",
	"looked at in DingTalk: %s found; %s held, %d not held and left out (%s, %s)":  "已查询钉钉：找到 %s；实际持有 %s，未持有而略去 %d 条（%s，%s）",
	"%d lookups": "查询 %d 次",
	"left to them: %s of the default group, or kept":                                                     "保留不动：%s（默认角色组，或指定保留）",
	"role %s (%s): %d of its %d holders would lose it":                                                   "角色 %s（%s）：%[4]d 名持有者中有 %[3]d 名将失去该角色",
	"looking takes %s and saves %s of calls: without it, --preflight=false, the same list takes %s":      "查询需要 %s，节省调用 %s：不查询（--preflight=false）时同一名单为 %s",
	"submitting this needs a confirmation or --yes, for the roles that many of their holders would lose": "有角色的多数持有者将失去该角色：提交时须确认或加 --yes",
	"nothing to do: none of these roles is held":                                                         "无需处理：这些角色均无人持有",
	"a role would lose more of its holders than UNROLE_MAX_SHARE lets through unconfirmed":               "某个角色失去的持有者比例超过 UNROLE_MAX_SHARE，须确认",
	"was not held":             "原本未持有",
	"names nobody for certain": "无法确定人员或角色",
	"was not held when DingTalk was looked at: nothing was sent":      "查询钉钉时并未持有：未发送请求",
	"the row names nobody for certain: nothing was sent":              "此行无法确定人员或角色：未发送请求",
	"say who is meant by the user id, and submit the row again":       "请用 UserID 指明人员后重新提交此行",
	"DingTalk still lists %s that it said were removed: asking again": "钉钉仍显示 %s 已移除的角色：稍后再查",
	"%s: nobody is known by that":                                     "%s：查无此人",
}

func init() { maps.Copy(inChinese, peopleInChinese) }
