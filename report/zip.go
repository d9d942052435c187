package report

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"io"
	"os"
	"path"
	"strings"
)

// inMemory is how much of an archive is kept in memory, in octets. A larger one is in a temporary file.
const inMemory = 1 << 20

// spooled is an archive of which any part can be read.
type spooled interface {
	io.ReaderAt
	io.Closer
}

type octetReader struct{ *bytes.Reader }

// Close implements io.Closer.
func (octetReader) Close() error { return nil }

// spool keeps what comes from in, and returns its size.
func spool(in io.Reader) (spooled, int64, error) {
	head, err := io.ReadAll(io.LimitReader(in, inMemory))
	if err != nil || len(head) < inMemory {
		return octetReader{bytes.NewReader(head)}, int64(len(head)), err
	}
	f, err := os.CreateTemp("", "postseal-archive-")
	if err != nil {
		return nil, 0, err
	}
	os.Remove(f.Name()) //nolint:errcheck // it stays open; a file left over is harmless
	size, err := io.Copy(f, io.MultiReader(bytes.NewReader(head), in))
	if err != nil {
		f.Close() //nolint:errcheck // the first error counts
		return nil, 0, err
	}
	return f, size, nil
}

// zip reads the files of an archive. It is read as a whole, since its index is at its end.
func (x *input) zip(p place, in *bufio.Reader) error {
	octets, size, err := spool(io.LimitReader(in, x.limits.Packed+1))
	if err != nil {
		return x.readError(p, err)
	}
	defer octets.Close()
	if size > x.limits.Packed {
		return p.refusal(TooLarge, "a zip archive larger than %d MiB", x.limits.Packed>>20)
	}
	p.tails = new([]Fault)
	archive, err := zip.NewReader(octets, size)
	if errors.Is(err, zip.ErrFormat) {
		if index := zipIndex(octets, size, x.limits.Files+1, x.left); index != nil {
			*p.tails = append(*p.tails, NotWellFormed)
			archive, err = zip.NewReader(appended{octets, size, index}, size+int64(len(index)))
		}
	}
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return p.refusal(Damaged, "the zip archive is damaged: %s", clean(err.Error()))
	}
	archive.RegisterDecompressor(zipBzip2, func(r io.Reader) io.ReadCloser { return io.NopCloser(bzip2.NewReader(r)) })
	files := zipFiles(archive)
	if len(files) == 0 {
		return p.refusal(NotAReport, "the zip archive has no file")
	}
	if len(files) > x.limits.Files {
		*p.tails = append(*p.tails, TooMany)
		files = files[:x.limits.Files]
	}
	return x.zipReports(p, files)
}

// zipBzip2 is the compression method 12 of zip files.
const zipBzip2 = 12

// zipReports reads files. Those that are not reports count only if there is no report.
func (x *input) zipReports(p place, files []*zip.File) error {
	before := x.result
	var ignored *Refusal
	for _, f := range files {
		err := x.zipFile(p.into(path.Base(f.Name)), f)
		refusal := new(Refusal)
		switch {
		case err == nil:
		case !errors.As(err, &refusal):
			return err
		case refusal.Fault == NotAReport:
			ignored = refusal
		default:
			if err := x.refuse(refusal); err != nil {
				return err
			}
		}
	}
	if ignored != nil && x.result == before {
		return ignored
	}
	return nil
}

// zipFiles are the files that may be reports: not folders, nor what macOS adds.
func zipFiles(archive *zip.Reader) []*zip.File {
	var files []*zip.File
	for _, f := range archive.File {
		if f.FileInfo().IsDir() || strings.HasPrefix(f.Name, "__MACOSX/") || strings.HasPrefix(path.Base(f.Name), "._") || path.Base(f.Name) == ".DS_Store" {
			continue
		}
		files = append(files, f)
	}
	return files
}

func (x *input) zipFile(p place, f *zip.File) error {
	if f.Flags&1 != 0 {
		return p.refusal(Encrypted, "the zip archive is encrypted")
	}
	r, err := f.Open()
	if err != nil {
		return p.refusal(Damaged, "the zip archive is damaged: %s", clean(err.Error()))
	}
	defer r.Close()
	return x.document(p, r)
}
