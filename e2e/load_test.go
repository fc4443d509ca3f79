package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// With -load the tests below have the sizes of `make load`; without it they are small enough
// for every run of the tests. -soak is how long the soak takes.
var (
	fullLoad = flag.Bool("load", false, "the full sizes of the load tests: ten thousand viewers, two minutes of kills")
	soakFor  = flag.Duration("soak", 15*time.Second, "how long viewers come and go in the soak")
)

func sized(full, small int) int {
	if *fullLoad {
		return full
	}
	return small
}

// unlimited lets one machine stand for many.
var unlimited = []string{"HOLDFAST_MAX_CONNECTIONS=20000", "HOLDFAST_MAX_CONNECTIONS_PER_USER=0", "HOLDFAST_MAX_CONNECTIONS_PER_ADDRESS=0"}

func TestLoad_FiftyViewersOfManySessions(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	c := newCrowd(t, s, 10)
	addr := strings.TrimPrefix(s.web, "http://")
	c.gather(50, addr)
	c.awaitLive()
	c.print(200)
	time.Sleep(5 * time.Second)
	if _, cuts := c.finish(); cuts != 0 {
		t.Errorf("%d viewers were cut", cuts)
	}
}

func TestLoad_TenThousandViewersOfOneInstance(t *testing.T) {
	if !*fullLoad {
		t.Skip("only in `make load`")
	}
	s := newStack(t)
	web := s.newInstance(unlimited...)
	c := newCrowd(t, s, 100)
	before := residentBytes(t, web.pid())
	began := time.Now()
	c.gather(10_000, web.addr)
	c.awaitLive()
	t.Logf("10,000 viewers subscribed in %s; %d bytes of memory for each", time.Since(began).Round(time.Millisecond), (residentBytes(t, web.pid())-before)/10_000)
	c.print(100)
	time.Sleep(time.Minute)
	if _, cuts := c.finish(); cuts != 0 {
		t.Errorf("%d viewers were cut", cuts)
	}
	t.Logf("at the end %d bytes of memory for each", (residentBytes(t, web.pid())-before)/10_000)
}

// Three instances behind a load balancer that knows nothing; one dies every few seconds, and
// once Postgres does, too.
func TestLoad_InstancesDieUnderTheirViewers(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	var instances []*instance
	for range 3 {
		instances = append(instances, s.newInstance(unlimited...))
	}
	lb := newBalancer(t, instances)
	c := newCrowd(t, s, sized(100, 10))
	c.gather(sized(3000, 60), lb.addr())
	c.awaitLive()
	c.print(sized(2000, 200))
	began := time.Now()
	length, pause := time.Duration(sized(120, 14))*time.Second, time.Duration(sized(4, 2))*time.Second
	kills, restarted := 0, false
	for time.Since(began) < length {
		time.Sleep(pause)
		dies := instances[rand.IntN(len(instances))]
		dies.kill()
		kills++
		if !restarted && time.Since(began) > length/2 {
			s.kill("postgres")
			restarted = true
		}
		time.Sleep(pause / 4)
		dies.start()
	}
	_, cuts := c.finish()
	if cuts == 0 || !restarted {
		t.Errorf("%d cuts, Postgres restarted: %t", cuts, restarted)
	}
	t.Logf("%d instances were killed", kills)
	for _, i := range instances {
		i.awaitHealth()
	}
	s.until("no connection recorded", func() bool { return recorded(t, instances[0].addr) == 0 })
}

// recorded is how many connections Postgres knows, of all instances.
func recorded(t *testing.T, addr string) int {
	t.Helper()
	res, err := http.Get("http://" + addr + "/api/debug/connections?all=true")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var list struct {
		Connections []json.RawMessage `json:"connections"`
	}
	if err := json.NewDecoder(res.Body).Decode(&list); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%d, %v", res.StatusCode, err)
	}
	return len(list.Connections)
}

// Clients that never read, read a byte a second, vanish or send garbage harm nobody else.
func TestLoad_BadClientsHarmNobody(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	web := s.newInstance(unlimited...)
	c := newCrowd(t, s, 5)
	many := sized(200, 20)
	c.gather(sized(500, 25), web.addr)
	c.awaitLive()
	c.print(sized(500, 100))
	time.Sleep(time.Second)
	p50, p99 := c.delays.over(time.Duration(sized(10, 1)) * time.Second)
	before := residentBytes(t, web.pid())
	subscribe := fmt.Sprintf(`{"type":"subscribe","session_id":%q,"since":0}`, c.printers[0].session)
	var bad sync.WaitGroup
	defer bad.Wait()
	for n := range many {
		// Never reads, and asks for the whole log again and again.
		deaf := rawSocket(t, web.addr)
		_ = deaf.SetReadBuffer(2048)
		for range 50 {
			_, _ = deaf.Write(clientFrame(1, subscribe))
		}
		// Reads a byte a second.
		slow := rawSocket(t, web.addr)
		_ = slow.SetReadBuffer(2048)
		_, _ = slow.Write(clientFrame(1, subscribe))
		bad.Go(func() {
			for one := make([]byte, 1); ; time.Sleep(time.Second) {
				if _, err := slow.Read(one); err != nil {
					return
				}
				select {
				case <-c.ctx.Done():
					return
				default:
				}
			}
		})
		gone := rawSocket(t, web.addr)
		_, _ = gone.Write(clientFrame(1, subscribe))
		vanish(gone)
		bad.Go(func() { sendGarbage(t, web.addr, n) })
	}
	badP50, badP99 := c.delays.over(time.Duration(sized(10, 5)) * time.Second)
	grown := residentBytes(t, web.pid()) - before
	if bound := int64(64<<20) + int64(many)*(512<<10); grown > bound {
		t.Errorf("%d bad clients made it %d bytes larger", 4*many, grown)
	}
	if _, cuts := c.finish(); cuts != 0 {
		t.Errorf("%d good viewers were cut", cuts)
	}
	t.Logf("%d bad clients made it %d bytes larger; print to viewer took %s at p50 and %s at p99 without them, %s and %s with them",
		4*many, grown, p50.Round(100*time.Microsecond), p99.Round(100*time.Microsecond), badP50.Round(100*time.Microsecond), badP99.Round(100*time.Microsecond))
}

// sendGarbage sends what no client may.
func sendGarbage(t *testing.T, addr string, n int) {
	noise := make([]byte, 4096)
	random := rand.NewChaCha8([32]byte{byte(n)})
	_, _ = random.Read(noise)
	frames := [][]byte{
		noise,
		clientFrame(1, string(noise[:100])), // not UTF-8
		clientFrame(2, "binary"),            // not text
		clientFrame(3, "an opcode that is reserved"),                 //
		{0x81, 0x02, 'h', 'i'},                                       // not masked
		{0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, // a frame of 2^63 bytes
		{0x89, 0xfe, 0xff, 0xff},                                     // a ping of 64 KiB
		clientFrame(1, `{"type":"subscribe"`),                        //
		clientFrame(1, strings.Repeat("[", 30_000)),                  //
	}
	c, err := openSocket(addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	_, _ = c.Write(frames[n%len(frames)])
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	_, _ = io.CopyN(io.Discard, c, 1<<16)
	if plain, err := net.DialTimeout("tcp", addr, time.Second); err == nil { // not even HTTP
		_, _ = plain.Write(noise)
		_ = plain.Close()
	}
}

// Viewers come, follow, are cut and come back, again and again: what the server holds stays
// the same.
func TestSoak_MemoryStaysTheSame(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	web := s.newInstance(unlimited...)
	many := sized(500, 40)
	began, atRest := time.Now(), metric(t, web.addr, "go_goroutines")
	var heaps []float64
	for round := 0; time.Since(began) < *soakFor || round < 4; round++ {
		c := newCrowd(t, s, 10)
		c.gather(many, web.addr)
		c.awaitLive()
		c.print(sized(500, 100))
		time.Sleep(time.Second)
		c.finish()
		c.close()
		s.until("no connection left", func() bool { return metric(t, web.addr, "holdfast_connections") == 0 })
		heaps = append(heaps, metric(t, web.addr, "go_gc_heap_live_bytes"))
	}
	// The first rounds fill pools; after that nothing may grow with the rounds.
	half := len(heaps) / 2
	early, late := median(heaps[1:half+1]), median(heaps[half:])
	t.Logf("%d rounds of %d viewers in %s: live heap %.0f bytes in the first half, %.0f in the second",
		len(heaps), many, time.Since(began).Round(time.Second), early, late)
	if late > 1.25*early+4<<20 {
		t.Errorf("the heap grew from %.0f to %.0f bytes: %.0f", early, late, heaps)
	}
	// Some 30 start with the first viewers, and stay. The HTTP server keeps the goroutine of a connection for the next one,
	// for up to 20 s.
	var now float64
	s.until("hardly more goroutines than before the viewers", func() bool {
		now = metric(t, web.addr, "go_goroutines")
		return now <= atRest+45
	})
	t.Logf("goroutines: %.0f before, %.0f after", atRest, now)
}
