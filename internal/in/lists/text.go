package lists

import (
	"bufio"
	"bytes"
	"io"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// evidence is how much text, from the first character beyond ASCII on, may decide what the encoding is.
const evidence = 1 << 20

// textReader turns the bytes of a file into UTF-8. A byte order mark settles the encoding. Without one the text is ASCII
// until shown otherwise, which every candidate reads alike; the first byte beyond ASCII makes it look ahead and choose
// between UTF-8 and GB18030 once and for all. Bytes that do not fit are left for the checks of the ids they damage.
type textReader struct {
	raw  *bufio.Reader
	out  io.Reader // what delivers once the encoding is known
	name string
	// ambiguous: the text reads about as well both ways. That takes a very short one, or a damaged one.
	ambiguous bool
	started   bool
}

func newTextReader(r io.Reader) *textReader {
	return &textReader{raw: bufio.NewReaderSize(&lastError{r: r}, evidence)}
}

// lastError keeps returning the first error of its reader: bufio.Reader forgets an error that Peek has seen.
type lastError struct {
	r   io.Reader
	err error
}

func (l *lastError) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	n, err := l.r.Read(p)
	l.err = err
	return n, err
}

// head is the beginning of the bytes as they are.
func (t *textReader) head() ([]byte, error) { return t.raw.Peek(64) }

// encoding is the name of the encoding in use so far.
func (t *textReader) encoding() string {
	if t.name == "" {
		return "UTF-8"
	}
	return t.name
}

func (t *textReader) Read(p []byte) (int, error) {
	if !t.started {
		t.started = true
		if err := t.skipMark(); err != nil {
			return 0, err
		}
	}
	if t.out != nil {
		return t.out.Read(p)
	}
	if _, err := t.raw.Peek(1); err != nil {
		return 0, err
	}
	buffered, err := t.raw.Peek(min(t.raw.Buffered(), len(p)))
	if err != nil {
		return 0, err
	}
	n := beyondASCII(buffered)
	if n == 0 {
		if err := t.decide(); err != nil {
			return 0, err
		}
		return t.out.Read(p)
	}
	copy(p, buffered[:n])
	_, err = t.raw.Discard(n)
	return n, err
}

// skipMark takes a byte order mark off and believes it.
func (t *textReader) skipMark() error {
	mark, err := t.raw.Peek(3)
	if err != nil && err != io.EOF {
		return err
	}
	switch {
	case bytes.Equal(mark, []byte("\xef\xbb\xbf")):
		t.out, t.name = t.raw, "UTF-8"
		_, err := t.raw.Discard(3)
		return err
	case bytes.HasPrefix(mark, []byte("\xff\xfe")), bytes.HasPrefix(mark, []byte("\xfe\xff")):
		// BigEndian is only what stands in for a missing mark, and there is one.
		utf16 := unicode.UTF16(unicode.BigEndian, unicode.ExpectBOM)
		t.out, t.name = transform.NewReader(t.raw, utf16.NewDecoder()), "UTF-16"
	}
	return nil
}

// decide chooses the encoding by what follows.
func (t *textReader) decide() error {
	ahead, err := t.raw.Peek(evidence)
	if err != nil && err != io.EOF {
		return err
	}
	whole := err == io.EOF
	seen := survey(ahead, whole)
	switch {
	case seen.misfits == 0:
		t.ambiguous = whole && seen.long == 0 && seen.hanzi
	default:
		t.ambiguous = seen.misfits < 4*seen.long && seen.long < 4*seen.misfits
	}
	// Chinese in GB18030 looks like a longer UTF-8 sequence only rarely, so more of them than bytes that do not fit
	// means a UTF-8 text with some damage, whose damaged ids are to be reported rather than misread.
	if seen.misfits > seen.long {
		t.out, t.name = transform.NewReader(t.raw, simplifiedchinese.GB18030.NewDecoder()), "GB18030"
		return nil
	}
	t.out, t.name = t.raw, "UTF-8"
	return nil
}

// traits are what survey counts in a text taken as UTF-8.
type traits struct {
	long    int  // characters of three or four bytes
	misfits int  // bytes that are not UTF-8
	hanzi   bool // every character of two bytes would be one of GB 2312's too
}

func survey(text []byte, whole bool) traits {
	seen := traits{hanzi: true}
	for len(text) > 0 {
		n := beyondASCII(text)
		if text = text[n:]; len(text) == 0 {
			break
		}
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			if !whole && !utf8.FullRune(text) {
				return seen
			}
			seen.misfits++
		case size > 2:
			seen.long++
		default:
			// GB 2312 has hanzi from B0A1 on, and no second byte below A1.
			seen.hanzi = seen.hanzi && text[1] >= 0xa1
		}
		text = text[size:]
	}
	return seen
}

// beyondASCII is the position of the first byte that is not ASCII, or the length.
func beyondASCII(b []byte) int {
	for i, c := range b {
		if c >= utf8.RuneSelf {
			return i
		}
	}
	return len(b)
}
