package store

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/holdfast/holdfast/schema"
)

// awkward are texts that encodings tend to get wrong.
var awkward = []string{
	"", "plain", "line\nline\r\n\ttab", `"quoted" \ and \n`, "nul\x00inside", "\x01\x1f\x7f", "bad \xff\xfe utf-8 \xc3", "\xf0\x9f\x98",
	"emoji 😀 👩‍🔬", "\uFFFD kept", "é\u2028\u2029", "<b>&amp;</b>", "1234567\"", "12345678\"", "\x1b[31mred\x1b[0m", "éééééééé\n", "\u0120\u0a22",
	strings.Repeat("0123456789abcdef", 5000), strings.Repeat("\x00", 3000),
}

func checkOutput(t *testing.T, text string) {
	t.Helper()
	chunk := schema.OutputData{Stream: schema.Stderr, Text: text, Offset: 1 << 40, Attempt: 3}
	got := appendOutput(nil, &chunk)
	var back schema.OutputData
	if err := json.Unmarshal(got, &back); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	var want schema.OutputData
	if err := json.Unmarshal(schema.Marshal(chunk), &want); err != nil {
		t.Fatal(err)
	}
	if back != want {
		t.Fatalf("%q became %q, not %q", text, back.Text, want.Text)
	}
}

func TestAppendOutput_SaysWhatEncodingJSONSays(t *testing.T) {
	t.Parallel()
	for _, text := range awkward {
		checkOutput(t, text)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		text := make([]byte, random.IntN(40))
		for i := range text {
			text[i] = "aé\"\\\n\x00\x1f\x20\x7f\x80\xc3\xff"[random.IntN(13)]
		}
		checkOutput(t, string(text))
	}
}

func FuzzAppendOutput(f *testing.F) {
	for _, text := range awkward {
		f.Add(text)
	}
	f.Fuzz(checkOutput)
}

func TestPacker_KeepsRowsApart(t *testing.T) {
	t.Parallel()
	texts := [][]byte{
		[]byte(`"small"`), []byte(`"` + strings.Repeat("a", 10_000) + `"`), []byte(`"` + noise(4000) + `"`), []byte(`"` + strings.Repeat("b", 600) + `"`), []byte(`1`),
	}
	for range 3 { // the second time with the buffers of the first
		p := newPacker()
		for _, text := range texts {
			p.add(text)
		}
		sizes, data, packed := p.columns()
		for i, text := range texts {
			if (data[i] == "") == (packed[i] == nil) {
				t.Fatalf("row %d has both or none", i)
			}
			got := []byte(data[i])
			if packed[i] != nil {
				var err error
				if got, err = unpack(packed[i], sizes[i]); err != nil {
					t.Fatal(err)
				}
			}
			if string(got) != string(text) || int(sizes[i]) != len(text) {
				t.Fatalf("row %d came back different", i)
			}
		}
		if packed[1] == nil || packed[2] != nil || packed[3] == nil {
			t.Fatal("what compresses is not what is packed")
		}
		p.release()
	}
}

// noise is text that does not compress below nine tenths.
func noise(n int) string {
	var b strings.Builder
	random := rand.New(rand.NewPCG(3, 4))
	for b.Len() < n {
		r := rune(0x4e00 + random.IntN(0x5000))
		b.WriteRune(r)
	}
	return b.String()
}
