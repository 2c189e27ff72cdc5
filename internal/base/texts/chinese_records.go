package texts

import "maps"

// recordsInChinese is what records keep in English, and what the checks of package tasks say, which knows of no catalogue.
var recordsInChinese = map[string]string{
	// Why a job was refused, waits, or could not be verified.
	"a role that is to be kept is not known": "要保留的角色未找到",
	"people or roles are not certain (%d)":   "有 %d 处人员或角色无法确定",
	"DingTalk refuses to be asked (%v)":      "钉钉拒绝查询（%v）",
	"DingTalk could not be asked (%v)":       "无法向钉钉查询（%v）",
	"role %s and %d more: %v":                "角色 %s 及另外 %d 个：%v",
	"of role %s: %v":                         "角色 %s：%v",
	"the fleet makes no calls now (a hold, or DingTalk does not answer): unrole status says why": "目前不进行调用（已暂停，或钉钉没有响应）：原因见 unrole status",
	"the list of holders changed while it was read, again and again":                             "读取成员名单时名单一再变动",
	"a page of the list of holders is empty although more follow (offset %d)":                    "成员名单在第 %d 项处返回空页，而后面仍有内容",
	"the list of holders has no end (%d pages)":                                                  "成员名单没有尽头（%d 页）",

	"%d held, %d not held, %d with another management scope, %d unknown": "%d 条已拥有，%d 条未拥有，%d 条管理范围不同，%d 条未知",

	// The history of a job.
	"people and roles looked up":         "已查询人员和角色",
	"counted":                            "已计入",
	"waits again":                        "重新等待处理",
	"%d gone, %d still held, %d unknown": "%d 条已不再拥有，%d 条仍拥有，%d 条未知",

	"parts": "分片",

	"%q looks like %s, and the column %q has something else: %s": "%q 像是%s，而 %q 列应为%s",

	// Ids that are none.
	"role id %d is not positive":                                        "角色 ID %d 不是正数",
	"user id is empty":                                                  "UserID 为空",
	"user id is not valid UTF-8":                                        "UserID 不是有效的 UTF-8",
	"user id %.80q has a comma, which DingTalk cannot take":             "UserID %.80q 含有逗号，钉钉无法处理",
	"user id %.80q has a blank":                                         "UserID %.80q 含有空格",
	"user id %.80q has a control character":                             "UserID %.80q 含有控制字符",
	"user id %.80q has %d characters, at most %d are possible":          "UserID %.80q 有 %d 个字符，最多 %d 个",
	"job id is empty":                                                   "任务 ID 为空",
	"job id %.80q has %d characters, at most 64 are possible":           "任务 ID %.80q 有 %d 个字符，最多 64 个",
	"job id %.80q has a character that is not one of A-Z a-z 0-9 . _ -": "任务 ID %.80q 含有 A-Z a-z 0-9 . _ - 以外的字符",
}

func init() { maps.Copy(inChinese, recordsInChinese) }
