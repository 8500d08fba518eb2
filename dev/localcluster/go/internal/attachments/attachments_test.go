package attachments

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func open(t *testing.T) *Store {
	t.Helper()
	store, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestWhatIsPutIsListedUntilItIsRemoved(t *testing.T) {
	store := open(t)
	one := Attachment{ContainerID: "1", Namespace: "agents", Name: "a", UID: "u", Address: "10.0.0.1", Link: "v"}
	two := Attachment{ContainerID: "2", Namespace: "agents", Address: "10.0.0.2"}
	for _, item := range []Attachment{two, one} {
		if err := store.Put(item); err != nil {
			t.Fatal(err)
		}
	}
	listed, err := store.List()
	if err != nil || !reflect.DeepEqual(listed, []Attachment{one, two}) {
		t.Fatalf("%v %v", listed, err)
	}
	if err := store.Remove("1"); err != nil {
		t.Fatal(err)
	}
	if gone, err := store.Get("1"); gone != nil || err != nil {
		t.Errorf("%v %v", gone, err)
	}
	if err := store.Remove("1"); err != nil {
		t.Errorf("removing twice: %v", err)
	}
}

func TestAnUnreadableAttachmentIsAnError(t *testing.T) {
	store := open(t)
	if err := os.WriteFile(filepath.Join(store.Directory(), "x.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.List(); err == nil {
		t.Error("a pod would be without its policies")
	}
}

func TestAHalfWrittenAttachmentIsNotThereYet(t *testing.T) {
	store := open(t)
	if err := os.WriteFile(filepath.Join(store.Directory(), "x.json.new"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if listed, err := store.List(); len(listed) != 0 || err != nil {
		t.Errorf("%v %v", listed, err)
	}
}
