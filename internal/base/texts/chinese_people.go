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
	"%s: nobody is known by that":                                   "%s：查无此人",
}

func init() { maps.Copy(inChinese, peopleInChinese) }
