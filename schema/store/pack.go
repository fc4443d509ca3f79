package store

import (
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"github.com/holdfast/holdfast/schema"
)

const (
	packOver       = 512       // bytes of JSON below which compression is not worth its cost
	maxUnpacked    = 256 << 20 // no writer makes an event as large as this
	packedAtMost   = 0.9       // of the JSON, or it is stored as it is
	keepBufferUpTo = 8 << 20   // a larger buffer is not kept for the next flush
)

// The codecs keep no goroutine and no stream: EncodeAll and DecodeAll only.
var (
	encoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false),
			zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithLowerEncoderMem(true))
		if err != nil {
			panic("store: zstd options: " + err.Error())
		}
		return e
	})
	decoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxUnpacked))
		if err != nil {
			panic("store: zstd options: " + err.Error())
		}
		return d
	})
)

// packer turns JSON texts into the columns size, data and packed, one row for each call of add. Of data and packed one
// is empty.
type packer struct {
	sizes  []int32
	data   []string
	packed [][]byte

	json  []byte // scratch, of one event
	arena []byte // holds what packed points into
	ends  []int  // where in arena each packed ends; -1 for a row with data
}

var packers = sync.Pool{New: func() any { return new(packer) }}

func newPacker() *packer { return packers.Get().(*packer) } //nolint:forcetypeassert // the pool holds nothing else

// release gives the packer back; its columns must not be used any more.
func (p *packer) release() {
	if cap(p.arena) > keepBufferUpTo || cap(p.json) > keepBufferUpTo {
		return
	}
	clear(p.data)
	clear(p.packed)
	p.sizes, p.data, p.packed, p.ends = p.sizes[:0], p.data[:0], p.packed[:0], p.ends[:0]
	p.json, p.arena = p.json[:0], p.arena[:0]
	packers.Put(p)
}

func (p *packer) add(text []byte) {
	p.sizes = append(p.sizes, int32(len(text))) //nolint:gosec // an event is far below 2 GiB
	if len(text) > packOver {
		start := len(p.arena)
		p.arena = encoder().EncodeAll(text, p.arena)
		if float64(len(p.arena)-start) < packedAtMost*float64(len(text)) {
			p.data = append(p.data, "")
			p.ends = append(p.ends, len(p.arena))
			return
		}
		p.arena = p.arena[:start]
	}
	p.data = append(p.data, string(text))
	p.ends = append(p.ends, -1)
}

// addOutput is add for a chunk of output.
func (p *packer) addOutput(chunk *schema.OutputData) {
	p.json = appendOutput(p.json[:0], chunk)
	p.add(p.json)
}

// columns are ready once every row has been added: the arena moves while it grows.
func (p *packer) columns() (sizes []int32, data []string, packed [][]byte) {
	start := 0
	for _, end := range p.ends {
		if end < 0 {
			p.packed = append(p.packed, nil)
			continue
		}
		p.packed = append(p.packed, p.arena[start:end:end])
		start = end
	}
	return p.sizes, p.data, p.packed
}

func unpack(packed []byte, size int32) ([]byte, error) {
	text, err := decoder().DecodeAll(packed, make([]byte, 0, min(max(int(size), 0), maxUnpacked)))
	if err != nil {
		return nil, fmt.Errorf("decompress an event: %w", err)
	}
	return text, nil
}

// appendOutput is schema.Marshal for the payload that makes up nearly all of a log, at the speed of the copy. What
// encoding/json does one rune at a time is done here in runs of bytes that need no escape.
func appendOutput(b []byte, chunk *schema.OutputData) []byte {
	b = append(b, `{"stream":`...)
	b = appendString(b, string(chunk.Stream))
	b = append(b, `,"text":`...)
	b = appendString(b, chunk.Text)
	b = append(b, `,"offset":`...)
	b = strconv.AppendInt(b, chunk.Offset, 10)
	b = append(b, `,"attempt":`...)
	b = strconv.AppendInt(b, int64(chunk.Attempt), 10)
	return append(b, '}')
}

const hexDigits = "0123456789abcdef"

// plain marks the ASCII bytes that stand in a JSON string as they are.
var plain = func() (table [256]bool) {
	for c := range table {
		table[c] = c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf
	}
	return table
}()

// appendString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD, one for each.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	valid := utf8.ValidString(s)
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] || (valid && c >= utf8.RuneSelf) {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			if r, n := utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || n > 1 {
				i += n
				continue
			}
		}
		b = append(b, s[start:i]...)
		i++
		start = i
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			if c >= utf8.RuneSelf {
				b = append(b, "\uFFFD"...)
			} else {
				b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
			}
		}
	}
	b = append(b, s[start:]...)
	return append(b, '"')
}
