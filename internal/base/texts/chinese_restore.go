package texts

import "maps"

func init() { maps.Copy(inChinese, restoreInChinese) }

// restoreInChinese is what the web pages say of giving back, by its English.
var restoreInChinese = map[string]string{
	"gives back":                                     "恢复",
	"not given back":                                 "未能恢复",
	"%d not given back":                              "%d 条未能恢复",
	"done, some not given back":                      "已完成，部分未能恢复",
	"Gives back what was taken by":                   "恢复此任务移除的角色",
	"Given back by":                                  "已由此任务恢复",
	"Give back what was taken …":                     "恢复已移除的角色…",
	"Give back what was taken":                       "恢复已移除的角色",
	"Give back":                                      "恢复角色",
	"Not given back":                                 "不会恢复的内容",
	"Not given back, and what to do about it":        "未能恢复的内容及处理办法",
	"Nothing is given back before somebody approves": "经人批准后才会开始恢复",
	"Nothing is given back before you confirm. It becomes a job of its own.": "确认之前不会恢复任何内容。恢复将作为单独的任务进行。",
	"Nobody looked who held these roles before":                              "移除前未核对谁拥有这些角色",
	"The removal was submitted without looking at DingTalk. What DingTalk said it removed can be given back; it says so of roles, too, that somebody did not hold. They may get roles that they never had.": "提交移除时未向钉钉核对。可以恢复钉钉回复“已移除”的内容，但对并未拥有该角色的人钉钉也会这样回复，因此有人可能会得到从未拥有过的角色。",
	"Show what would be given back all the same":              "仍要查看将恢复的内容",
	"Nothing can be given back":                               "没有可恢复的内容",
	"%d of them with the management scopes that they had":     "其中 %d 条连同原有的管理范围",
	"Some of them may be given to people who never had them.": "其中有些角色可能会给到从未拥有过的人。",
	"%d pairs that a later removal took again":                "%d 条此后又被其他任务移除",
	"%d pairs whose management scopes have more departments than DingTalk takes: grant them in DingTalk's administration console": "%d 条的管理范围所含部门数超过钉钉允许的上限：请在钉钉管理后台授予",
	"%d pairs that were given back already, or are being given back":                                                              "%d 条已经恢复或正在恢复",
	"%d pairs that were never taken":       "%d 条从未被移除",
	"Only some of it":                      "只恢复一部分",
	"People (user ids; empty: all)":        "人员（UserID，留空表示全部）",
	"Roles (ids; empty: all)":              "角色（ID，留空表示全部）",
	"also what a later removal took again": "也包括此后又被移除的内容",
	"Show":                                 "查看",
	"I mean it, though some may get roles that they never had.":           "我确认：有人可能会得到从未拥有过的角色。",
	"Give %d people the roles back":                                       "恢复 %d 人的角色",
	"Leave it as it is":                                                   "保持不变",
	"Submitted: what was taken is given back.":                            "已提交：将恢复已移除的角色。",
	"This has changed meanwhile: look again at what would be given back.": "情况已有变化：请重新查看将恢复的内容。",
	"Go back and tick that this is meant.":                                "请返回勾选确认。",
	"What is not given back already was taken again by a later removal, %s. Tick below to give that back, too.":                                  "尚未恢复的内容此后又被任务 %s 移除。如也要恢复，请在下方勾选。",
	"It was given back already by %s, or is being given back.":                                                                                   "已由任务 %s 恢复，或正在恢复。",
	"The management scopes are of more than %d departments, which DingTalk does not take back: grant them in DingTalk's administration console.": "管理范围超过 %d 个部门，钉钉不接受恢复：请在钉钉管理后台授予。",
	"Nothing of what is asked for was taken.":                                                                                                    "所选内容从未被移除。",
}
