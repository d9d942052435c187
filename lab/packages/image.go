//go:build packages

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// nonRoot is the user of the image, as in distroless images.
const nonRoot = 65532

// imageConfig is the configuration in the image: in a container, loopback reaches nothing.
const imageConfig = `# Everything is observed, nothing refused: mount a file of your own over this one.
enforce = "observe"
[listen]
milter = "0.0.0.0:8895"
policy = "0.0.0.0:8892"
http   = "127.0.0.1:8896"
[bundles]
dir  = "/var/lib/postseal/bundles"
keep = "refused"
`

// descriptor names a blob of the layout (OCI image specification, descriptor.md).
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    map[string]string `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// makeImage writes an OCI image layout as a tar file: one layer from scratch, for a user that
// is not root.
func (j *job) makeImage() error {
	layer, err := j.layer()
	if err != nil {
		return err
	}
	var z bytes.Buffer
	w, err := gzip.NewWriterLevel(&z, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(layer); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	blobs := map[string][]byte{}
	layerBlob := blob(blobs, "application/vnd.oci.image.layer.v1.tar+gzip", z.Bytes())
	config := map[string]any{
		"created": j.date.Format(time.RFC3339), "architecture": j.arch, "os": "linux",
		"config": map[string]any{"User": fmt.Sprintf("%d:%d", nonRoot, nonRoot), "Entrypoint": []string{"/usr/bin/postseal"},
			"Cmd": []string{"serve", "--config", "/etc/postseal/postseal.toml"}, "Env": []string{"PATH=/usr/bin", "STATE_DIRECTORY=/var/lib/postseal"},
			"ExposedPorts": map[string]any{"8892/tcp": struct{}{}, "8895/tcp": struct{}{}}, "Volumes": map[string]any{"/var/lib/postseal": struct{}{}}, "WorkingDir": "/var/lib/postseal", "StopSignal": "SIGTERM",
			"Labels": map[string]string{"org.opencontainers.image.title": "postseal", "org.opencontainers.image.version": j.version, "org.opencontainers.image.licenses": "MIT"}},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + sum(layer)}},
		"history": []any{map[string]any{"created": j.date.Format(time.RFC3339), "created_by": "make packages"}},
	}
	configBlob, err := object(blobs, "application/vnd.oci.image.config.v1+json", config)
	if err != nil {
		return err
	}
	manifest, err := object(blobs, "application/vnd.oci.image.manifest.v1+json", map[string]any{"schemaVersion": 2,
		"mediaType": "application/vnd.oci.image.manifest.v1+json", "config": configBlob, "layers": []descriptor{layerBlob}})
	if err != nil {
		return err
	}
	manifest.Platform = map[string]string{"os": "linux", "architecture": j.arch}
	manifest.Annotations = map[string]string{"org.opencontainers.image.ref.name": strings.ReplaceAll(j.version, "~", "-")}
	return j.layout(manifest, blobs)
}

func sum(text []byte) string {
	s := sha256.Sum256(text)
	return hex.EncodeToString(s[:])
}

func blob(blobs map[string][]byte, mediaType string, text []byte) descriptor {
	digest := sum(text)
	blobs[digest] = text
	return descriptor{MediaType: mediaType, Digest: "sha256:" + digest, Size: len(text)}
}

func object(blobs map[string][]byte, mediaType string, v any) (descriptor, error) {
	text, err := json.Marshal(v)
	return blob(blobs, mediaType, text), err
}

// layer is the root file system: the binary, its configuration, a user, its state folder.
func (j *job) layer() ([]byte, error) {
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	made := map[string]bool{}
	binary, err := os.ReadFile(filepath.Join(j.stage, "usr/bin/postseal"))
	if err != nil {
		return nil, err
	}
	license, err := os.ReadFile(filepath.Join(j.root, "LICENSE"))
	if err != nil {
		return nil, err
	}
	for _, f := range []struct {
		path string
		mode int64
		text []byte
	}{
		{"etc/group", 0o644, fmt.Appendf(nil, "root:x:0:\npostseal:x:%d:\n", nonRoot)},
		{"etc/nsswitch.conf", 0o644, []byte("hosts: files dns\n")},
		{"etc/passwd", 0o644, fmt.Appendf(nil, "root:x:0:0:root:/:/sbin/nologin\npostseal:x:%d:%d:postseal:/var/lib/postseal:/sbin/nologin\n", nonRoot, nonRoot)},
		{"etc/postseal/postseal.toml", 0o644, []byte(imageConfig)},
		{"usr/bin/postseal", 0o755, binary},
		{"usr/share/doc/postseal/copyright", 0o644, license},
	} {
		if err := j.folders(t, f.path, made); err != nil {
			return nil, err
		}
		if err := j.entry(t, tar.Header{Name: f.path, Mode: f.mode, Typeflag: tar.TypeReg}, f.text); err != nil {
			return nil, err
		}
	}
	if err := j.folders(t, "var/lib/postseal", made); err != nil {
		return nil, err
	}
	for _, d := range []tar.Header{{Name: "tmp/", Mode: 0o1777}, {Name: "var/lib/postseal/", Mode: 0o750, Uid: nonRoot, Gid: nonRoot}} {
		d.Typeflag = tar.TypeDir
		if err := j.entry(t, d, nil); err != nil {
			return nil, err
		}
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// layout writes the image layout (OCI image specification, image-layout.md) as a tar file.
func (j *job) layout(manifest descriptor, blobs map[string][]byte) error {
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []descriptor{manifest}})
	if err != nil {
		return err
	}
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`), "index.json": index}
	for digest, text := range blobs {
		files["blobs/sha256/"+digest] = text
	}
	var b bytes.Buffer
	t, made := tar.NewWriter(&b), map[string]bool{}
	for _, path := range sortedKeys(files) {
		if err := j.folders(t, path, made); err != nil {
			return err
		}
		if err := j.entry(t, tar.Header{Name: path, Mode: 0o644, Typeflag: tar.TypeReg}, files[path]); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return err
	}
	target := filepath.Join(j.out, fmt.Sprintf("postseal-%s-linux-%s.oci.tar", j.version, j.arch))
	if err := os.WriteFile(target, b.Bytes(), 0o644); err != nil {
		return err
	}
	return j.materials(target)
}
