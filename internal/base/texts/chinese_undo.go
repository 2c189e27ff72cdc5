package texts

import "maps"

func init() { maps.Copy(inChinese, undoInChinese) }

// undoInChinese is what is said of giving back by a report, by its English.
var undoInChinese = map[string]string{
	"the report does not say who held the roles before and with which management scopes: nobody looked before they were taken, or an older version wrote it": "报告未说明移除前谁拥有这些角色以及管理范围：当时未向钉钉核对，或报告由旧版本生成",
	"nothing of the report is to be given back: %s": "报告中没有可恢复的内容：%s",
	"by the report, nothing was taken from user %s": "报告显示未移除员工 %s 的任何角色",
	"by the report, role %s was taken from nobody":  "报告显示未移除任何人的角色 %s",
	"this is the report of a simulation, in which nothing was removed: there is nothing to give back (--simulate tries it)":   "这是模拟运行的报告，并未移除任何角色，没有可恢复的内容（可用 --simulate 试运行）",
	"the row has no outcome: nobody knows what became of it":                                                                  "此行没有结果：无法得知是否已移除",
	"a report of unrole that has no row with the outcome %s":                                                                  "这是 unrole 的报告，其中没有结果为 %s 的行",
	"%q is not the id of a department: the column is as unrole wrote it, or the report is not taken":                          "%q 不是部门 ID：此列须与 unrole 生成时一致，否则不接受此报告",
	"it is no list of the ids of departments, as unrole writes it":                                                            "不是部门 ID 列表：须与 unrole 生成时一致",
	"%s/%s had another management scope by a row above: nobody knows which one it is to have back; give one report at a time": "%s/%s 的管理范围与上方某行不同，无法得知应恢复哪一个；请每次只用一份报告",
	"SIMULATION: a simulator answers instead of DingTalk; its company has the people and roles of this report":                "模拟运行：由模拟器代替钉钉应答；模拟企业中有本报告里的人员和角色",
	"no role is given to anybody":         "不会真的恢复任何角色",
	"held":                                "已拥有",
	"not held":                            "未拥有",
	"held, with another management scope": "已拥有，但管理范围与原来不同",
	"job %s has not ended: what is pending is not held yet, most likely":          "任务 %s 尚未结束：待处理的角色很可能还未恢复",
	"DingTalk does not list %s as it said it gave them back: asking again":        "钉钉答复已恢复的角色中有 %s在名单中尚未体现：稍后再次查询",
	"not held as before, although DingTalk said they were given back":             "与原来不一致，尽管钉钉答复已恢复",
	"not held: not done yet, or cancelled":                                        "未拥有：尚未恢复，或已取消",
	"not held: DingTalk refuses to give them back":                                "未拥有：钉钉拒绝恢复",
	"%d pairs are not held as before although DingTalk said they were given back": "有 %d 条与原来不一致，尽管钉钉答复已恢复",
	"%d pairs are not held":         "有 %d 条未拥有",
	"removing twice is harmless":    "重复移除没有影响",
	"giving back twice is harmless": "重复恢复没有影响",
}
