package webapi

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/roentgen-io/roentgen/internal/control"
	"github.com/roentgen-io/roentgen/internal/tracestore"
	"github.com/roentgen-io/roentgen/internal/xrayapi/apierr"
	"github.com/roentgen-io/roentgen/segment"
)

// MaxControlFile bounds the file of an import.
const MaxControlFile = 64 << 20

// control answers GET /api/control with the control state as a file, and POST
// /api/control?check= by making it what the file in the body says:
//
//	{"Changes":[{"Change":"made","Name":"slow","Section":"groups"}],"Checked":false}
//
// With check=true nothing is changed.
func (h *handler) control(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		if _, err := parameters(r); err != nil {
			return err
		}
		file, err := h.cfg.Control.Export()
		if err != nil {
			return err
		}
		w.Header().Set("Content-Disposition", `attachment; filename="`+control.FileName+`"`)
		return reply(w, file)
	}
	q, err := parameters(r, "check")
	if err != nil {
		return err
	}
	check := false
	if text := q.Get("check"); text != "" {
		if check, err = strconv.ParseBool(text); err != nil {
			return apierr.New(apierr.InvalidRequest, "check is true or false, not %.40q", text)
		}
	}
	body, err := h.cfg.Bodies.Read(r, MaxControlFile)
	if err != nil {
		return err
	}
	defer body.Free()
	ctx, cancel := h.context(r)
	defer cancel()
	changes, err := h.cfg.Control.Import(ctx, body.Data, check)
	if err != nil {
		return importError(err)
	}
	dst := append([]byte(nil), `{"Changes":[`...)
	for i, c := range changes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = segment.AppendString(append(dst, `{"Change":`...), c.What)
		dst = appendTextOrNull(append(dst, `,"Name":`...), c.Name)
		dst = append(segment.AppendString(append(dst, `,"Section":`...), c.Section), '}')
	}
	dst = strconv.AppendBool(append(dst, `],"Checked":`...), check)
	return reply(w, append(dst, '}'))
}

// importError tells whoever sent a file what is wrong with it.
func importError(err error) error {
	var expression *control.ExpressionError
	why := "nothing was imported: "
	switch {
	case errors.Is(err, tracestore.ErrFormat):
		why += "the file is of a later version of Roentgen: "
	case errors.Is(err, control.ErrChecksum):
		why += "the file was damaged, or edited without taking out its checksum: "
	case errors.Is(err, tracestore.ErrCorrupt):
		why += "the file is none that an export gives: "
	case errors.As(err, &expression), errors.Is(err, control.ErrTooLarge), errors.Is(err, control.ErrTooMany), errors.Is(err, control.ErrNoFilters):
	default:
		return err
	}
	// Names of our packages mean nothing to whoever reads this.
	plain := strings.NewReplacer(tracestore.ErrCorrupt.Error()+": ", "", tracestore.ErrFormat.Error()+": ", "", "control: ", "").Replace(err.Error())
	return apierr.Wrap(err, apierr.InvalidRequest, "%s%.2000s", why, plain)
}
