package directory

import (
	"context"
	"testing"

	"github.com/unrole/unrole/internal/in/lists"
	"github.com/unrole/unrole/internal/out/dingtalk"
)

// cut answers with less than it says there is.
type cut struct{ Source }

func (cut) RoleHolders(context.Context, int64, int, int) (dingtalk.HoldersPage, error) {
	return dingtalk.HoldersPage{HasMore: true}, nil
}

func (cut) Search(context.Context, string, int, int) (dingtalk.SearchPage, error) {
	return dingtalk.SearchPage{UserIDs: []string{"u"}, Total: 2}, nil
}

func (cut) User(_ context.Context, id string) (dingtalk.User, error) {
	return dingtalk.User{UserID: id, Name: "王芳"}, nil
}

func TestAnAnswerThatIsCutOffIsNoWordAboutTheRest(t *testing.T) {
	d, err := New(cut{}, 1e6)
	if err != nil {
		t.Fatal(err)
	}
	if holders, err := d.Holders(t.Context(), 7); err == nil {
		t.Errorf("a list without an end is taken for one that names %d people", len(holders))
	}
	found, err := d.Find(t.Context(), lists.Person{By: lists.Name, Text: "王芳"})
	if err != nil || len(found.Users) < 2 {
		t.Errorf("one of two people of a name is taken for the only one: %+v, %v", found, err)
	}
}
