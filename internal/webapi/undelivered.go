package webapi

import (
	"errors"
	"net/http"
	"time"

	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
)

// Undelivered is a document that a destination to which everything is passed on refused for good.
type Undelivered struct {
	Time        time.Time
	Destination string // its name; "" when it was not sent at all
	Code        string
	Message     string
	Remedy      string
	ID          string // of the segment, "" when it is not known
	Document    string // its beginning
	Size        int    // bytes of the whole document
}

// ErrPlace reports a before that nobody gave.
var ErrPlace = errors.New("webapi: not a place among undelivered documents")

type undeliveredAnswer struct {
	DeadLetters []undeliveredLetter
	Next        *string
}

type undeliveredLetter struct {
	Code        string
	Destination *string
	Document    string
	ID          *string `json:"Id"`
	Message     string
	Remedy      string
	Size        int
	Time        float64
}

// undelivered answers GET /api/forward/dead-letters?before=&limit=, newest first:
//
//	{"DeadLetters":[{"Code":"Undeliverable","Destination":"central","Document":"{...","Id":null,"Message":"...",
//	"Remedy":"...","Size":1000,"Time":1.79E9}],"Next":"1795356000000000000-512"}
//
// Next is the before of the next page, null on the last. A page may have fewer than limit: documents
// are whole, up to 128 KiB.
func (h *handler) undelivered(w http.ResponseWriter, r *http.Request) error {
	q, err := parameters(r, "before", "limit")
	if err != nil {
		return err
	}
	limit, err := intParameter(q, "limit", defaultLetters, maxLetters)
	if err != nil {
		return err
	}
	if h.cfg.Undelivered == nil {
		return h.notFound(w, r)
	}
	list, next, err := h.cfg.Undelivered(q.Get("before"), int(limit))
	if errors.Is(err, ErrPlace) {
		return apierr.New(apierr.InvalidRequest, "before is %.60q; give the Next of an earlier answer", q.Get("before"))
	}
	if err != nil {
		return err
	}
	a := undeliveredAnswer{DeadLetters: make([]undeliveredLetter, len(list)), Next: textOrNull(next)}
	for i := range list {
		u := &list[i]
		a.DeadLetters[i] = undeliveredLetter{
			Code: u.Code, Destination: textOrNull(u.Destination), Document: u.Document, ID: textOrNull(u.ID), Message: u.Message,
			Remedy: u.Remedy, Size: u.Size, Time: float64(u.Time.UnixMilli()) / 1e3,
		}
	}
	return replyJSON(w, a)
}
