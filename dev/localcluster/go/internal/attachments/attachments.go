// Package attachments remembers which pod has which address, from the moment its network is made.
//
// The CNI plugin writes, the network policy controller reads. Both hold the same lock while they
// change the nftables table, so that what one adds is never lost to what the other writes.
package attachments

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
)

const (
	lockName = "lock"
	suffix   = ".json"
)

// Attachment is one pod's place in the network.
type Attachment struct {
	ContainerID string `json:"containerID"`
	Namespace   string `json:"namespace"`
	Name        string `json:"name"`
	// UID is empty if the runtime did not say it.
	UID     string `json:"uid,omitempty"`
	Address string `json:"address"`
	// Link is the name of the pod's interface on the host.
	Link string `json:"link,omitempty"`
}

// Store is a directory with one file per attachment.
type Store struct {
	directory string
}

// Open returns the store in a directory, which is made if need be.
func Open(directory string) (*Store, error) {
	store := &Store{directory: directory}
	if err := os.MkdirAll(store.Directory(), 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of attachments: %w", err)
	}
	return store, nil
}

// Directory returns the folder whose entries change when an attachment does.
func (s *Store) Directory() string {
	return filepath.Join(s.directory, "pods")
}

// Locked runs a function while nobody else changes attachments or the table.
func (s *Store) Locked(do func() error) error {
	file, err := os.OpenFile(filepath.Join(s.directory, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("opening the lock: %w", err)
	}
	defer file.Close()
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("taking the lock: %w", err)
	}
	return do()
}

// List returns all attachments by container ID. A file that cannot be read is an error: leaving
// one out would leave a pod without its policies.
func (s *Store) List() ([]Attachment, error) {
	entries, err := os.ReadDir(s.Directory())
	if err != nil {
		return nil, fmt.Errorf("listing attachments: %w", err)
	}
	found := make([]Attachment, 0, len(entries))
	for _, entry := range entries {
		id, isRecord := strings.CutSuffix(entry.Name(), suffix)
		if !isRecord {
			continue
		}
		attachment, err := s.Get(id)
		if err != nil {
			return nil, err
		}
		if attachment != nil {
			found = append(found, *attachment)
		}
	}
	sort.Slice(found, func(i, j int) bool { return found[i].ContainerID < found[j].ContainerID })
	return found, nil
}

// Get returns one attachment, nil if there is none.
func (s *Store) Get(containerID string) (*Attachment, error) {
	content, err := os.ReadFile(s.path(containerID))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading an attachment: %w", err)
	}
	attachment := &Attachment{}
	if err := json.Unmarshal(content, attachment); err != nil {
		return nil, fmt.Errorf("reading %s: %w", s.path(containerID), err)
	}
	return attachment, nil
}

// Put writes one attachment; a reader sees all of it or nothing.
func (s *Store) Put(attachment Attachment) error {
	content, err := json.Marshal(attachment)
	if err != nil {
		return fmt.Errorf("writing an attachment: %w", err)
	}
	path := s.path(attachment.ContainerID)
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return fmt.Errorf("writing an attachment: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("writing an attachment: %w", err)
	}
	return nil
}

// Remove forgets one attachment, if it is there.
func (s *Store) Remove(containerID string) error {
	err := os.Remove(s.path(containerID))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing an attachment: %w", err)
	}
	return nil
}

func (s *Store) path(containerID string) string {
	return filepath.Join(s.Directory(), filepath.Base(containerID)+suffix)
}
