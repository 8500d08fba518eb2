package provisioner

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	v1 "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

func provision(t *testing.T, d *Directories, name string) *v1.PersistentVolume {
	t.Helper()
	policy := v1.PersistentVolumeReclaimDelete
	claim := &v1.PersistentVolumeClaim{}
	claim.Spec.AccessModes = []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce}
	claim.Spec.Resources.Requests = v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")}
	volume, _, err := d.Provision(context.Background(), controller.ProvisionOptions{
		StorageClass: &storage.StorageClass{ReclaimPolicy: &policy},
		PVName:       name,
		PVC:          claim,
	})
	if err != nil {
		t.Fatalf("provisioning: %v", err)
	}
	return volume
}

func TestProvisionedDirectoryIsOpenToEveryUID(t *testing.T) {
	d, err := New(t.TempDir(), "node")
	if err != nil {
		t.Fatal(err)
	}
	volume := provision(t, d, "pvc-1")
	info, err := os.Stat(volume.Spec.Local.Path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o777 {
		t.Errorf("mode is %o", mode)
	}
	if again := provision(t, d, "pvc-1"); again.Spec.Local.Path != volume.Spec.Local.Path {
		t.Errorf("a second call made another directory: %s", again.Spec.Local.Path)
	}
}

func TestDeleteRemovesTheDirectoryOnce(t *testing.T) {
	d, err := New(t.TempDir(), "node")
	if err != nil {
		t.Fatal(err)
	}
	volume := provision(t, d, "pvc-1")
	for range 2 {
		if err := d.Delete(context.Background(), volume); err != nil {
			t.Fatalf("deleting: %v", err)
		}
	}
	if _, err := os.Stat(volume.Spec.Local.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there: %v", err)
	}
}

func TestDeleteTouchesNothingOutsideOfItsRoot(t *testing.T) {
	d, err := New(t.TempDir(), "node")
	if err != nil {
		t.Fatal(err)
	}
	volume := provision(t, d, "pvc-1")
	elsewhere := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(elsewhere, 0o755); err != nil {
		t.Fatal(err)
	}
	volume.Spec.Local.Path = elsewhere
	var ignored *controller.IgnoredError
	if err := d.Delete(context.Background(), volume); !errors.As(err, &ignored) {
		t.Errorf("the volume was not refused: %v", err)
	}
	if _, err := os.Stat(elsewhere); err != nil {
		t.Errorf("the directory was removed: %v", err)
	}
}
