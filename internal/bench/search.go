package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Question is something that bench search asks over and over.
type Question struct {
	Name string
	// ask puts the question once and tells how many items the answer has.
	ask func(ctx context.Context, c *asker) (items int, err error)
	// Whole marks questions that read everything: they are asked fewer times.
	Whole bool
}

// asker asks one server.
type asker struct {
	hc         *http.Client
	endpoint   string
	start, end time.Time
	buf        bytes.Buffer
}

func (c *asker) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.endpoint+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := c.hc.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	c.buf.Reset()
	if _, err := io.Copy(&c.buf, resp.Body); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s %s: %s: %.300s", method, path, resp.Status, c.buf.Bytes())
	}
	return c.buf.Bytes(), nil
}

func epoch(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1e3, 'f', 3, 64) }

// summaries reads pages until there are enough rows, or no more.
func summaries(filter string, rows int, count bool) func(context.Context, *asker) (int, error) {
	return func(ctx context.Context, c *asker) (int, error) {
		q := url.Values{"start": {epoch(c.start)}, "end": {epoch(c.end)}, "limit": {strconv.Itoa(rows)}, "filter": {filter}}
		got := 0
		for {
			text, err := c.call(ctx, http.MethodGet, "/api/traces?"+q.Encode(), nil)
			if err != nil {
				return got, err
			}
			var page struct {
				TraceSummaries []json.RawMessage
				NextToken      *string
			}
			if err := json.Unmarshal(text, &page); err != nil {
				return got, err
			}
			got += len(page.TraceSummaries)
			if page.NextToken == nil || !count && got >= rows {
				return got, nil
			}
			q.Set("token", *page.NextToken)
		}
	}
}

// graph asks for the service graph of the last span of the window.
func graph(span time.Duration) func(context.Context, *asker) (int, error) {
	return func(ctx context.Context, c *asker) (int, error) {
		body := fmt.Sprintf(`{"StartTime":%s,"EndTime":%s}`, epoch(c.end.Add(-span)), epoch(c.end))
		text, err := c.call(ctx, http.MethodPost, "/ServiceGraph", []byte(body))
		if err != nil {
			return 0, err
		}
		var answer struct{ Services []json.RawMessage }
		err = json.Unmarshal(text, &answer)
		return len(answer.Services), err
	}
}

// series asks for statistics of the last span of the window.
func series(span time.Duration, selector string) func(context.Context, *asker) (int, error) {
	return func(ctx context.Context, c *asker) (int, error) {
		ask := map[string]any{"StartTime": json.Number(epoch(c.end.Add(-span))), "EndTime": json.Number(epoch(c.end)), "Period": 60}
		if selector != "" {
			ask["EntitySelectorExpression"] = selector
		}
		body, err := json.Marshal(ask)
		if err != nil {
			return 0, err
		}
		text, err := c.call(ctx, http.MethodPost, "/TimeSeriesServiceStatistics", body)
		if err != nil {
			return 0, err
		}
		var answer struct{ TimeSeriesServiceStatistics []json.RawMessage }
		err = json.Unmarshal(text, &answer)
		return len(answer.TimeSeriesServiceStatistics), err
	}
}

// Questions are those of bench search. RareService and RareKey are in one trace
// of RareEvery.
func Questions() []Question {
	return []Question{
		{Name: "newest 20, no filter", ask: summaries("", 20, false)},
		{Name: "newest 20 of `ok`", ask: summaries("ok", 20, false)},
		{Name: "newest 20 of `http.status >= 500 AND service(\"orders\")`", ask: summaries(`http.status >= 500 AND service("orders")`, 20, false)},
		{Name: "newest 20 of an annotation that one trace of 256 has", ask: summaries("annotation."+CommonKey, 20, false)},
		{Name: "newest 20 of a rare service, whole window", ask: summaries(`service("`+RareService+`")`, 20, false)},
		{Name: "all of a rare annotation value, whole window", ask: summaries(`annotation.`+RareKey+` = true AND responsetime >= 0`, 1000, true)},
		{Name: "nothing to find, whole window", ask: summaries(`annotation.`+RareKey+` = "absent"`, 20, true)},
		{Name: "count of `fault`, whole window", ask: summaries("fault", 10_000, true), Whole: true},
		{Name: "service graph, 5 minutes", ask: graph(5 * time.Minute)},
		{Name: "service graph, 6 hours", ask: graph(6 * time.Hour)},
		{Name: "service graph, 30 days", ask: graph(30 * 24 * time.Hour)},
		{Name: "time series, 6 hours, client edges", ask: series(6*time.Hour, "")},
		{Name: "time series, 6 hours, one service", ask: series(6*time.Hour, `service("cart")`)},
	}
}

// Answer tells how a question went.
type Answer struct {
	Name          string
	Items         int // of the last answer
	Asked         int
	P50, P99, Max time.Duration
}

// Search asks every question times times, those that read everything a tenth of
// that, one after the other.
func Search(ctx context.Context, endpoint string, wrap Wrap, start, end time.Time, times int, done func(Answer)) error {
	tr := &http.Transport{MaxIdleConnsPerHost: 1, DisableCompression: true}
	defer tr.CloseIdleConnections()
	c := &asker{hc: &http.Client{Transport: wrap.around(tr), Timeout: 5 * time.Minute}, endpoint: endpoint, start: start, end: end}
	for _, q := range Questions() {
		n := times
		if q.Whole {
			n = max(1, times/10)
		}
		a := Answer{Name: q.Name, Asked: n}
		var all []time.Duration
		for range n {
			at := time.Now()
			items, err := q.ask(ctx, c)
			if err != nil {
				return fmt.Errorf("%s: %w", q.Name, err)
			}
			all = append(all, time.Since(at))
			a.Items = items
		}
		a.P50, a.P99, a.Max = percentiles(all)
		done(a)
	}
	return nil
}
