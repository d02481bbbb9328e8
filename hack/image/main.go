// SPDX-License-Identifier: Apache-2.0

// Command image writes an OCI archive of a statically linked program, without Docker or a registry: one layer with
// the program, nothing else. The same programs give the same bytes.
package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	user    = "65532:65532" // nonroot of the distroless images
	refName = "org.opencontainers.image.ref.name"
	// containerdName is the annotation that containerd and ctr name an imported image by.
	containerdName = "io.containerd.image.name"
)

// epoch is the time of all files: that of a build would make each image another.
var epoch = time.Unix(0, 0).UTC()

func main() {
	out := flag.String("o", "image.tar", "archive to write")
	ref := flag.String("ref", "", "name of the image, with a tag")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: image -ref NAME:TAG [-o FILE] ARCHITECTURE=PROGRAM ...")
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := run(*out, *ref, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(out, ref string, programs []string) error {
	if ref == "" || len(programs) == 0 {
		return errors.New("give -ref NAME:TAG and ARCHITECTURE=PROGRAM; see -help")
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range programs {
		arch, program, ok := strings.Cut(p, "=")
		if !ok {
			return fmt.Errorf("%q: want ARCHITECTURE=PROGRAM", p)
		}
		img, err := image(arch, program)
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: "linux", Architecture: arch}}})
	}
	return write(index, ref, out)
}

// image is one of a single program, for one architecture.
func image(arch, program string) (v1.Image, error) {
	layer, err := layer(program)
	if err != nil {
		return nil, err
	}
	img, err := mutate.Append(
		mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON),
		mutate.Addendum{
			Layer:     layer,
			MediaType: types.OCILayer,
			History:   v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "hack/image"},
		},
	)
	if err != nil {
		return nil, fmt.Errorf("add layer: %w", err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created = "linux", arch, v1.Time{Time: epoch}
	file.Config = v1.Config{
		User:       user,
		Entrypoint: []string{"/" + filepath.Base(program)},
		WorkingDir: "/",
		Labels: map[string]string{
			"org.opencontainers.image.source":   "https://github.com/kaana/apikey-operator",
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	return mutate.ConfigFile(img, file)
}

// layer is a root folder with the program in it.
func layer(program string) (v1.Layer, error) {
	text, err := os.ReadFile(program)
	if err != nil {
		return nil, fmt.Errorf("read program: %w", err)
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	header := &tar.Header{
		Name:     filepath.Base(program),
		Mode:     0o755,
		Size:     int64(len(text)),
		ModTime:  epoch,
		Typeflag: tar.TypeReg,
	}
	if err := errors.Join(w.WriteHeader(header), second(w.Write(text)), w.Close()); err != nil {
		return nil, fmt.Errorf("write layer: %w", err)
	}
	return tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer),
		tarball.WithCompressionLevel(6),
	)
}

func second(_ int, err error) error { return err }

// write writes an OCI image layout (OCI image spec 1.1) as an archive.
func write(index v1.ImageIndex, ref, out string) error {
	dir, err := os.MkdirTemp("", "image")
	if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	defer os.RemoveAll(dir)
	at, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("write layout: %w", err)
	}
	tag := ref[strings.LastIndex(ref, ":")+1:]
	if err := at.AppendIndex(
		index,
		layout.WithAnnotations(map[string]string{refName: tag, containerdName: ref}),
	); err != nil {
		return fmt.Errorf("write layout: %w", err)
	}
	return archive(dir, out)
}

// archive packs a folder in the order of names.
func archive(dir, out string) (failed error) {
	f, err := os.Create(out)
	if err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	defer func() { failed = errors.Join(failed, f.Close()) }()
	w := tar.NewWriter(f)
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		return errors.Join(
			w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text)), ModTime: epoch, Typeflag: tar.TypeReg}),
			second(w.Write(text)),
		)
	}); err != nil {
		return fmt.Errorf("write archive: %w", err)
	}
	return w.Close()
}
