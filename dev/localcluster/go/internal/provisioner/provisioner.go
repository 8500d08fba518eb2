// Package provisioner makes PersistentVolumes out of directories on one node.
package provisioner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// Directories provisions volumes as directories below one root on one node.
type Directories struct {
	root     string
	nodeName string
}

// New returns a provisioner of directories below root, which is made when missing.
func New(root, nodeName string) (*Directories, error) {
	if !filepath.IsAbs(root) {
		return nil, fmt.Errorf("volumes directory %q is not an absolute path", root)
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, fmt.Errorf("making the volumes directory: %w", err)
	}
	return &Directories{root: root, nodeName: nodeName}, nil
}

// Provision makes the directory of one claim and returns a volume of type local for it.
//
// Type local and not hostPath: only then does the kubelet apply the pod's fsGroup.
func (d *Directories) Provision(
	_ context.Context, opts controller.ProvisionOptions,
) (*v1.PersistentVolume, controller.ProvisioningState, error) {
	path := d.path(opts.PVName)
	if err := makeOpenDirectory(path); err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	volume := &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: opts.PVName},
		Spec: v1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *opts.StorageClass.ReclaimPolicy,
			AccessModes:                   opts.PVC.Spec.AccessModes,
			MountOptions:                  opts.StorageClass.MountOptions,
			Capacity: v1.ResourceList{
				v1.ResourceStorage: opts.PVC.Spec.Resources.Requests[v1.ResourceStorage],
			},
			PersistentVolumeSource: v1.PersistentVolumeSource{
				Local: &v1.LocalVolumeSource{Path: path},
			},
			NodeAffinity: onlyOn(d.nodeName),
		},
	}
	return volume, controller.ProvisioningFinished, nil
}

// Delete removes the directory of a volume; one that is gone already is no error.
func (d *Directories) Delete(_ context.Context, volume *v1.PersistentVolume) error {
	local := volume.Spec.Local
	if local == nil || local.Path != d.path(volume.Name) {
		return &controller.IgnoredError{
			Reason: fmt.Sprintf("volume %s is no directory below %s", volume.Name, d.root),
		}
	}
	if err := os.RemoveAll(local.Path); err != nil {
		return fmt.Errorf("removing the directory of volume %s: %w", volume.Name, err)
	}
	return nil
}

// path needs no escaping: the API server admits only DNS names as volume names.
func (d *Directories) path(volumeName string) string {
	return filepath.Join(d.root, volumeName)
}

// makeOpenDirectory makes a directory that pods of any uid can write to, whatever the umask.
func makeOpenDirectory(path string) error {
	if err := os.Mkdir(path, 0o777); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("making the volume's directory: %w", err)
	}
	if err := os.Chmod(path, 0o777); err != nil {
		return fmt.Errorf("opening the volume's directory to every uid: %w", err)
	}
	return nil
}

func onlyOn(nodeName string) *v1.VolumeNodeAffinity {
	return &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{
		NodeSelectorTerms: []v1.NodeSelectorTerm{{
			MatchExpressions: []v1.NodeSelectorRequirement{{
				Key:      v1.LabelHostname,
				Operator: v1.NodeSelectorOpIn,
				Values:   []string{nodeName},
			}},
		}},
	}}
}
