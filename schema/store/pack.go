package store

import (
	"fmt"
	"math/bits"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"github.com/holdfast/holdfast/schema"
)

const (
	packOver       = 512       // bytes of JSON below which compression is not worth it
	maxUnpacked    = 256 << 20 // no writer makes an event as large as this
	packedAtMost   = 0.9       // of the JSON; otherwise it is stored uncompressed
	keepBufferUpTo = 8 << 20   // a larger buffer is not kept for the next flush
)

// The codecs keep no goroutines and no streams: EncodeAll and DecodeAll only.
var (
	encoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false),
			zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(1<<20))
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

// packer turns JSON texts into the columns size, data and packed, one row per call of add. In each row, data or packed
// is empty.
type packer struct {
	sizes  []int32
	data   []string
	packed [][]byte

	json  []byte // scratch buffer for one event
	arena []byte // holds what packed points into
	ends  []int  // where each packed ends in arena; -1 for a row with data
}

var packers = sync.Pool{New: func() any { return new(packer) }}

func newPacker() *packer { return packers.Get().(*packer) } //nolint:errcheck // the pool holds nothing else

// release returns the packer to the pool; its columns must not be used any more.
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
	p.sizes = append(p.sizes, int32(len(text))) // an event is far below 2 GiB
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

// columns returns the columns. Call it after the last row: the arena moves while it grows.
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

// bytes is the size of the columns.
func (p *packer) bytes() int {
	n := len(p.arena)
	for _, text := range p.data {
		n += len(text)
	}
	return n
}

func unpack(packed []byte, size int32) ([]byte, error) {
	text, err := decoder().DecodeAll(packed, make([]byte, 0, min(max(int(size), 0), maxUnpacked)))
	if err != nil {
		return nil, fmt.Errorf("decompress an event: %w", err)
	}
	return text, nil
}

// appendOutput is schema.Marshal for the payload that makes up nearly all of a log, at the speed of a copy. It
// copies runs of bytes that need no escape, where encoding/json goes rune by rune.
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

// appendString appends s as a JSON string. Each invalid UTF-8 byte becomes a U+FFFD, as in encoding/json.
func appendString(b []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.Map(func(r rune) rune { return r }, s)
	}
	b = append(b, '"')
	for len(s) > 0 {
		n := plainPrefix(s)
		b = append(b, s[:n]...)
		if n == len(s) {
			break
		}
		c := s[n]
		s = s[n+1:]
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
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
		}
	}
	return append(b, '"')
}

// plainPrefix counts the bytes before the first one that a JSON string must escape: below 0x20, quote or backslash.
// It looks at eight bytes at a time, with the bit tricks for "a byte less than n" and "a zero byte" (Warren,
// Hacker's Delight, 6-1); a carry makes them wrong only above the first hit.
func plainPrefix(s string) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; n+8 <= len(s); n += 8 {
		w := s[n : n+8]
		x := uint64(w[0]) | uint64(w[1])<<8 | uint64(w[2])<<16 | uint64(w[3])<<24 |
			uint64(w[4])<<32 | uint64(w[5])<<40 | uint64(w[6])<<48 | uint64(w[7])<<56
		quote, slash := x^(ones*'"'), x^(ones*'\\')
		hit := ((x-ones*0x20)&^x | (quote-ones)&^quote | (slash-ones)&^slash) & tops
		if hit != 0 {
			return n + bits.TrailingZeros64(hit)/8
		}
	}
	for ; n < len(s); n++ {
		if c := s[n]; c < 0x20 || c == '"' || c == '\\' {
			break
		}
	}
	return n
}
