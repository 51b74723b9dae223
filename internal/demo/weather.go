package demo

import (
	"fmt"
	"math"
)

// traffic is the day's curve: requests at a moment as a multiple of the day's
// mean. People sleep at four (UTC), shop at lunch and more in the evening; a
// slow ripple keeps neighbouring minutes from being equal.
func traffic(at micros) float64 {
	h := float64(at%(24*hour)) / float64(hour)
	day := 1 - 0.42*math.Cos((h-4)*math.Pi/12) + 0.12*math.Sin((h-17)*math.Pi/4)*bump(h, 12, 22)
	ripple := 0.05*math.Sin(float64(at)/float64(7*minute)) + 0.04*math.Sin(float64(at)/float64(97*second))
	return day * (1 + ripple)
}

// bump is 1 between from and to with smooth shoulders of an hour, 0 elsewhere.
func bump(x, from, to float64) float64 {
	s := func(v float64) float64 { return min(max(v, 0), 1) }
	return s(x-from) * s(to-x)
}

// An incident is a few minutes in which something is wrong.
type incident uint8

const (
	calm           incident = iota
	slowPayments            // the outside provider answers slowly, then not at all
	lockedOrders            // a long transaction holds locks in the orders database
	throttledCarts          // the carts table runs out of write capacity
	badRelease              // a release of recommendations fails until it is rolled back
	searchNodeDown          // a node of the search index resets connections
	queueBacklog            // the order worker falls behind
	busyCatalogue           // the catalogue sheds load
	incidentKinds  = int(busyCatalogue) + 1
)

// incidentCell is the stretch of time that holds at most one incident.
const incidentCell = 17 * minute

// weather is what happens to be wrong.
type weather struct {
	kind     incident
	from, to micros
}

// weatherOf draws the incident of one cell.
func weatherOf(seed uint64, cell int64) weather {
	h := mix(seed, uint64(cell), 0x77656174686572)
	if unit(h) > 0.75 {
		return weather{}
	}
	h = mix(h)
	kind := incident(1 + h%uint64(incidentKinds-1))
	length := 3*minute + micros(unit(mix(h, 1))*float64(5*minute))
	from := cell*incidentCell + micros(unit(mix(h, 2))*float64(incidentCell-length))
	return weather{kind: kind, from: from, to: from + length}
}

// trouble returns how hard an incident of this kind bears at a moment: 0 not at
// all, 1 fully. It rises and falls over a fifth of the incident.
func (g *Generator) trouble(kind incident, at micros) float64 {
	cell := at / incidentCell
	if cell != g.weatherCell {
		g.weatherCell, g.weatherNow = cell, weatherOf(g.cfg.Seed, cell)
	}
	w := g.weatherNow
	if w.kind != kind || at < w.from || at >= w.to {
		return 0
	}
	shoulder := float64(w.to-w.from) / 5
	return min(float64(at-w.from)/shoulder, float64(w.to-at)/shoulder, 1)
}

// versionAt returns the version of a service that runs on one of its hosts. A
// new one is deployed every few hours and reaches the hosts a minute apart.
func (g *Generator) versionAt(s *service, hostIndex int, at micros) string {
	h := mix(g.cfg.Seed, s.key)
	offset := micros(h % uint64(s.deployEvery))
	cell := (at - offset - int64(hostIndex)*minute) / s.deployEvery
	v := s.versions[cell&1]
	if v.cell != cell || v.text == "" {
		// Counted from a moment in the project's past, so that numbers stay small.
		n := cell - (1_750_000_000*second-offset)/s.deployEvery
		v = versionText{cell: cell, text: fmt.Sprintf("%d.%d.%d", s.major, n/7, n%7)}
		s.versions[cell&1] = v
	}
	if s.breaks != calm && g.trouble(s.breaks, at) > 0 {
		return v.text + "-hotfix1"
	}
	return v.text
}

type versionText struct {
	cell int64
	text string
}
