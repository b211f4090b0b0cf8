package nemesis

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/seed13d31b7f/berth/jepsen-lite/switchnet"
)

// flapEvery is how long a flapping link stays as it is.
const flapEvery = 150 * time.Millisecond

// links are the changes of links that a step makes.
type links struct {
	targets []string
	detail  string
	change  func(from, to string, l *switchnet.Link)
}

// cutting makes links of which those are cut that cut says.
func cutting(targets []string, detail string, cut func(from, to string) bool) links {
	return links{targets, detail, func(from, to string, l *switchnet.Link) {
		if cut(from, to) {
			l.Cut = true
		}
	}}
}

// linksOf are the changes of a step with these targets.
func linksOf(s Step, w World, targets []string) links {
	rng := rand.New(rand.NewPCG(s.Draw, 3))
	is := func(name string) bool { return slices.Contains(targets, name) }
	switch s.Kind {
	case CutPeers:
		return cutting(targets, "from the other servers", func(from, to string) bool {
			return is(from) != is(to) && slices.Contains(w.Servers(), from) && slices.Contains(w.Servers(), to)
		})
	case Mute:
		return cutting(targets, "nothing comes from it", func(from, to string) bool { return is(from) && !is(to) })
	case Deaf:
		return cutting(targets, "nothing comes to it", func(from, to string) bool { return is(to) && !is(from) })
	case Halve:
		return halve(w, rng)
	case Bridge:
		return bridge(w, rng)
	case Lose:
		parts := uint32(200 + rng.IntN(2500))
		return degrade(targets, fmt.Sprintf("%.1f %% lost", float64(parts)/100), func(l *switchnet.Link) { l.Loss = parts })
	case Slow:
		delay := 2*time.Millisecond + time.Duration(rng.Int64N(int64(60*time.Millisecond)))
		return degrade(targets, fmt.Sprintf("%v and half of that more or less, doubled and overtaken", delay.Round(time.Millisecond)),
			func(l *switchnet.Link) { l.Delay, l.Jitter, l.Duplicate, l.Reorder = delay, delay/2, 1000, 2000 })
	case Throttle:
		rate := 20_000 + rng.IntN(200_000)
		return degrade(targets, fmt.Sprintf("%d bytes a second", rate), func(l *switchnet.Link) { l.BytesPerSecond = rate })
	}
	return cutting(targets, "from all others", func(from, to string) bool { return is(from) != is(to) })
}

// degrade makes the links from and to the targets worse.
func degrade(targets []string, detail string, worse func(*switchnet.Link)) links {
	return links{targets, detail, func(from, to string, l *switchnet.Link) {
		if slices.Contains(targets, from) || slices.Contains(targets, to) {
			worse(l)
		}
	}}
}

// halve divides everybody in two: the servers into a majority and the rest.
func halve(w World, rng *rand.Rand) links {
	servers := w.Servers()
	rng.Shuffle(len(servers), func(i, j int) { servers[i], servers[j] = servers[j], servers[i] })
	minority := slices.Clone(servers[:(len(servers)-1)/2])
	for _, other := range slices.Concat(w.Members(), w.Lockers(), w.Askers(), []string{ClientsHost}) {
		if rng.IntN(2) == 0 {
			minority = append(minority, other)
		}
	}
	return cutting(minority, "a minority, and others with it", func(from, to string) bool {
		return slices.Contains(minority, from) != slices.Contains(minority, to)
	})
}

// bridge divides the servers in two halves and one that sees both.
func bridge(w World, rng *rand.Rand) links {
	servers := w.Servers()
	rng.Shuffle(len(servers), func(i, j int) { servers[i], servers[j] = servers[j], servers[i] })
	if len(servers) < 3 {
		return cutting(nil, "nothing: there are too few servers", func(string, string) bool { return false })
	}
	left, right := servers[1:1+(len(servers)-1)/2], servers[1+(len(servers)-1)/2:]
	return cutting(servers[:1], "sees both halves, which do not see each other", func(from, to string) bool {
		return slices.Contains(left, from) && slices.Contains(right, to) || slices.Contains(right, from) && slices.Contains(left, to)
	})
}
