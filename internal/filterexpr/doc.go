// Package filterexpr is the language in which traces are asked for: the filter
// expressions of GetTraceSummaries and of groups, and the entity selectors of
// GetTimeSeriesServiceStatistics.
//
// [Parse] makes an [Expr] of a text. [Expr.Match] judges it on a [trace.Row],
// which is all that most questions need; where a row leaves something out the
// answer is [Unknown], and the caller assembles the trace and asks again with
// Trace.FullRow. [Expr.Need] tells engines which rows cannot match.
// [Expr.Explain] and [Complete] are for people, in front of a page or a terminal.
//
// # Grammar
//
// Keywords and operators may be written in capital or small letters. White space
// is free between tokens.
//
//	expression = and { ( "OR" | "||" ) and }
//	             fault OR throttle
//	and        = not { [ "AND" | "&&" ] not }
//	             fault AND duration > 3        ok !partial duration < 3
//	not        = ( "NOT" | "!" ) not | primary
//	             !partial
//	primary    = "(" expression ")" | condition
//	             (fault OR throttle) AND user
//	condition  = simple | annotation | service | edge | group | cause | causes
//
//	simple     = keyword [ operator value ]
//	             ok        http.status >= 400        user CONTAINS "smith"
//	annotation = ( "annotation." key | "annotation[" key "]" ) [ operator value ]
//	             annotation.rank > 3        annotation[aws.local.service] = "desk"
//	service    = "service(" [ entity ] ")" [ "{" expression "}" ]
//	             service("desk") { fault AND responsetime > 2 }
//	edge       = "edge(" [ entity ] "," [ entity ] ")" [ "{" expression "}" ]
//	             edge("desk", "books") { throttle }
//	entity     = text | "id(" argument { "," argument } ")"
//	             id(name: "fines", type: "AWS::Lambda::Function")
//	argument   = ( "name" | "type" | "account.id" ) ":" value
//	             account.id: "123456789012"
//	group      = ( "group.name" | "group.arn" ) ( "=" | "!=" ) value
//	             group.name = "slow"
//	cause      = "rootcause." ( "fault" | "error" ) "." ( "service" | "entity" | "exception" ) [ "{" expression "}" ]
//	           | "rootcause.responsetime." ( "service" | "entity" ) [ "{" expression "}" ]
//	             rootcause.fault.exception { last AND message CONTAINS "denied" }
//	causes     = "rootcause.json" ( "=" | "!=" ) "#" JSON array
//	             rootcause.json = #[{"Services":[{"Name":"desk"},{"Name":"fines"}]}]
//
//	operator   = "=" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "CONTAINS" | "BEGINSWITH" | "ENDSWITH"
//	value      = text | number | "true" | "false" | word
//	             "a \"text\" \u00e9"    'a text'    -2.5e3    true    slow
//	           | number ( "ms" | "s" | "m" | "h" )     of responsetime and duration
//	             200ms
//	word       = a letter or "_", then letters, digits, "_" and "."; none of AND, OR, NOT and the operators
//
//	selector   = "service(" entity ")" | "edge(" entity "," entity ")"
//	             edge("desk", id(type: "remote"))
//
// NOT binds closest, then AND, written or not, then OR.
//
// # Where keywords may stand, and what they mean
//
// Outside of braces a condition is about the trace as its caller saw it: flags,
// status, request and response time are the root's. duration is that of the whole
// trace. user, availabilityzone, instance.id, resource.arn, account.id,
// annotations, partial and inferred look at all of it. name and type are those of
// the root's service, and root says that the trace has a root.
//
// In the braces of service() a condition is about one segment of the service, or,
// when nobody reported it, one call to it; in those of edge(), about one call, as
// its caller saw it. All that stands in braces has to hold for the same one. The
// client has no segment, so that nothing in braces holds for it. name, type and
// account.id are those of the service, of the callee in edge(). Annotations are those of
// the segment and its subsegments, in edge() those of the call alone. partial is the
// trace's.
//
// In the braces of a root cause a condition is about one service on its path, one
// segment or subsegment, or one exception. These are numbered from 0 through the
// whole path, over the services: last is where the trouble began. coverage is
// known of response times alone.
//
// # How values are compared
//
// A keyword alone asks whether a flag is set, a value is known, an annotation is
// there and not false. A condition on a value that is not known is false, with !=
// too; NOT in front of it makes that true. Where there are several values, of users
// and annotations say, one has to satisfy the operator, but for !=: there has to be
// one, and none may be equal. A value of another type than the keyword's is never
// right: the condition is false, whatever its operator. That goes for annotations
// too, where the type is that of the reported value. An operator that the
// keyword's type does not have is an error.
//
// An annotation is found by its key, and by the key with an underscore for
// everything but letters and digits (see [trace.AliasKey]).
//
// ok says that none of error, fault and throttle is set, in a summary or on an
// element; it is true of a trace whose root has not arrived. error is not set
// where throttle is.
//
// # What is not known
//
// Truth has three values, and AND, OR and NOT follow Kleene: a condition is
// Unknown when the row holds only part of a list (Row.Cut) and what is asked for
// was not found in it, when a text may be cut, and when braces ask for what rows do
// not hold of single segments: http.url, http.method, http.useragent,
// http.clientip and, unless nothing in the trace has the value, user,
// availabilityzone, instance.id, resource.arn and the annotations of calls. An
// Unknown answer is never final; True and False are.
//
// # Bounds
//
// A text of more than [MaxLength] bytes or [MaxDepth] levels is refused. Parsing
// takes time in proportion to the text. Groups may name groups, 16 deep, and a
// circle of them is refused.
package filterexpr
