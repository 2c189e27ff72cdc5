package config

import (
	"slices"
	"strings"
	"testing"
)

func TestAVariableThatDoesNotExistIsRefusedWithTheNearest(t *testing.T) {
	warnings, err := CheckNames([]string{"UNROLE_PROTECTED_USER=ceo", "UNROLE_MAX_USERS_A_DAY=50", "UNROLE_QPS=5", "UNROLE_OLD=",
		"REDIS_URL_FILE=/x", "DINGTALK_APPKEY=k", "DINGTALK_TOKEN_OF_SOMETHING_ELSE=t", "PATH=/bin", "UNROLE_UI_PASSWORD_FILE=/y"})
	want := "UNROLE_MAX_USERS_A_DAY: there is no such variable: did you mean UNROLE_MAX_USERS_PER_DAY? docs/configuration.md has all\n" +
		"UNROLE_PROTECTED_USER: there is no such variable: did you mean UNROLE_PROTECTED_USERS? docs/configuration.md has all"
	if err == nil || err.Error() != want {
		t.Errorf("error %v", err)
	}
	if len(warnings) != 1 || warnings[0].String() != "DINGTALK_APPKEY is set, which is not read: did you mean DINGTALK_APP_KEY?" {
		t.Errorf("warnings %v", warnings)
	}
}

func TestWhatKubernetesSetsByItselfIsLeftAlone(t *testing.T) {
	var environ []string
	for _, service := range []string{"UNROLE", "UNROLE_UI", "UNROLE_API_2"} {
		for _, end := range []string{"SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_8080_TCP", "PORT_8080_TCP_PROTO", "PORT_8080_TCP_PORT", "PORT_8080_TCP_ADDR"} {
			environ = append(environ, service+"_"+end+"=x")
		}
	}
	if warnings, err := CheckNames(environ); err != nil || len(warnings) > 0 {
		t.Errorf("%v, %v", warnings, err)
	}
}

func TestEveryVariableOfTheTableIsKnown(t *testing.T) {
	var environ []string
	for _, v := range variables {
		environ = append(environ, v.Name+"=x")
		if v.Secret {
			environ = append(environ, v.Name+"_FILE=x")
		}
	}
	if _, err := CheckNames(environ); err != nil {
		t.Error(err)
	}
	for _, v := range variables {
		// One letter less is another name, and this one is the nearest.
		if name := strings.TrimSuffix(v.Name, v.Name[len(v.Name)-1:]); strings.HasPrefix(name, "UNROLE_") && !slices.ContainsFunc(variables, func(o Variable) bool { return o.Name == name }) {
			if _, err := CheckNames([]string{name + "=x"}); err == nil || !strings.Contains(err.Error(), v.Name+"?") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
