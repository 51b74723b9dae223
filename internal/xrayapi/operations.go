package xrayapi

// operations holds what is built, by the last element of the path.
var operations map[string]*operation

func init() {
	operations = map[string]*operation{
		"TraceSegments":              {name: "PutTraceSegments", input: putTraceSegmentsInput, serveBody: (*Handler).putTraceSegments},
		"TelemetryRecords":           {name: "PutTelemetryRecords", input: putTelemetryRecordsInput, serve: (*Handler).putTelemetryRecords},
		"Traces":                     {name: "BatchGetTraces", input: batchGetTracesInput, serve: (*Handler).batchGetTraces},
		"TraceSummaries":             {name: "GetTraceSummaries", input: getTraceSummariesInput, serve: (*Handler).getTraceSummaries},
		"GetSamplingRules":           {name: "GetSamplingRules", input: getSamplingRulesInput, serve: (*Handler).getSamplingRules},
		"SamplingTargets":            {name: "GetSamplingTargets", input: getSamplingTargetsInput, serve: (*Handler).getSamplingTargets},
		"Groups":                     {name: "GetGroups", input: getGroupsInput, serve: (*Handler).getGroups},
		"GetGroup":                   {name: "GetGroup", input: getGroupInput, serve: (*Handler).getGroup},
		"CreateGroup":                {name: "CreateGroup", input: createGroupInput, serve: (*Handler).createGroup},
		"UpdateGroup":                {name: "UpdateGroup", input: updateGroupInput, serve: (*Handler).updateGroup},
		"DeleteGroup":                {name: "DeleteGroup", input: getGroupInput, serve: (*Handler).deleteGroup},
		"EncryptionConfig":           {name: "GetEncryptionConfig", input: emptyInput, serve: (*Handler).getEncryptionConfig},
		"GetTraceSegmentDestination": {name: "GetTraceSegmentDestination", input: emptyInput, serve: (*Handler).getTraceSegmentDestination},

		"TraceGraph":                  {name: "GetTraceGraph", input: getTraceGraphInput, serve: (*Handler).getTraceGraph},
		"ServiceGraph":                {name: "GetServiceGraph", input: getServiceGraphInput, serve: (*Handler).getServiceGraph},
		"TimeSeriesServiceStatistics": {name: "GetTimeSeriesServiceStatistics", input: getTimeSeriesServiceStatisticsInput, serve: (*Handler).getTimeSeriesServiceStatistics},
	}
}

// notImplemented holds the other operations of the service model: last element
// of the path to name.
var notImplemented = map[string]string{
	"CancelTraceRetrieval":          "CancelTraceRetrieval",
	"CreateSamplingRule":            "CreateSamplingRule",
	"DeleteResourcePolicy":          "DeleteResourcePolicy",
	"DeleteSamplingRule":            "DeleteSamplingRule",
	"GetIndexingRules":              "GetIndexingRules",
	"Insight":                       "GetInsight",
	"InsightEvents":                 "GetInsightEvents",
	"InsightImpactGraph":            "GetInsightImpactGraph",
	"InsightSummaries":              "GetInsightSummaries",
	"GetRetrievedTracesGraph":       "GetRetrievedTracesGraph",
	"SamplingStatisticSummaries":    "GetSamplingStatisticSummaries",
	"ListResourcePolicies":          "ListResourcePolicies",
	"ListRetrievedTraces":           "ListRetrievedTraces",
	"ListTagsForResource":           "ListTagsForResource",
	"PutEncryptionConfig":           "PutEncryptionConfig",
	"PutResourcePolicy":             "PutResourcePolicy",
	"StartTraceRetrieval":           "StartTraceRetrieval",
	"TagResource":                   "TagResource",
	"UntagResource":                 "UntagResource",
	"UpdateIndexingRule":            "UpdateIndexingRule",
	"UpdateSamplingRule":            "UpdateSamplingRule",
	"UpdateTraceSegmentDestination": "UpdateTraceSegmentDestination",
}

// Types that several operations share.
var (
	stringShape = &shape{kind: kString}
	timeShape   = &shape{kind: kTime}
	boolShape   = &shape{kind: kBool}
	doubleShape = &shape{kind: kDouble}
	intShape    = &shape{kind: kInt}
	countShape  = &shape{kind: kInt, hasMin: true, min: 0}
	emptyInput  = &shape{kind: kStruct}
)

func lengths(min, max float64) *shape {
	return &shape{kind: kString, hasMin: min > 0, min: min, hasMax: max > 0, max: max}
}

func list(of *shape) *shape { return &shape{kind: kList, elem: of} }
