package xrayapi

// SetAnswerPage makes pages of BatchGetTraces end after n bytes.
func (h *Handler) SetAnswerPage(n int) { h.answerPage = n }
