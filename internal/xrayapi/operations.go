package xrayapi

// operations holds all operations, by the last element of the path.
var operations map[string]*operation

func init() {
	operations = map[string]*operation{
		"TraceSegments":              {name: "PutTraceSegments", input: putTraceSegmentsInput, serveBody: (*Handler).putTraceSegments},
		"TelemetryRecords":           {name: "PutTelemetryRecords", input: putTelemetryRecordsInput, serve: (*Handler).putTelemetryRecords},
		"Traces":                     {name: "BatchGetTraces", input: batchGetTracesInput, serve: (*Handler).batchGetTraces},
		"TraceSummaries":             {name: "GetTraceSummaries", input: getTraceSummariesInput, serve: (*Handler).getTraceSummaries},
		"GetSamplingRules":           {name: "GetSamplingRules", input: getSamplingRulesInput, serve: (*Handler).getSamplingRules},
		"SamplingTargets":            {name: "GetSamplingTargets", input: getSamplingTargetsInput, serve: (*Handler).getSamplingTargets},
		"SamplingStatisticSummaries": {name: "GetSamplingStatisticSummaries", input: getSamplingStatisticSummariesInput, serve: (*Handler).getSamplingStatisticSummaries},
		"CreateSamplingRule":         {name: "CreateSamplingRule", input: createSamplingRuleInput, serve: (*Handler).createSamplingRule},
		"UpdateSamplingRule":         {name: "UpdateSamplingRule", input: updateSamplingRuleInput, serve: (*Handler).updateSamplingRule},
		"DeleteSamplingRule":         {name: "DeleteSamplingRule", input: deleteSamplingRuleInput, serve: (*Handler).deleteSamplingRule},
		"Groups":                     {name: "GetGroups", input: getGroupsInput, serve: (*Handler).getGroups},
		"GetGroup":                   {name: "GetGroup", input: getGroupInput, serve: (*Handler).getGroup},
		"CreateGroup":                {name: "CreateGroup", input: createGroupInput, serve: (*Handler).createGroup},
		"UpdateGroup":                {name: "UpdateGroup", input: updateGroupInput, serve: (*Handler).updateGroup},
		"DeleteGroup":                {name: "DeleteGroup", input: getGroupInput, serve: (*Handler).deleteGroup},

		"TraceGraph":                  {name: "GetTraceGraph", input: getTraceGraphInput, serve: (*Handler).getTraceGraph},
		"ServiceGraph":                {name: "GetServiceGraph", input: getServiceGraphInput, serve: (*Handler).getServiceGraph},
		"TimeSeriesServiceStatistics": {name: "GetTimeSeriesServiceStatistics", input: getTimeSeriesServiceStatisticsInput, serve: (*Handler).getTimeSeriesServiceStatistics},

		"EncryptionConfig":              {name: "GetEncryptionConfig", input: emptyInput, serve: (*Handler).getEncryptionConfig},
		"PutEncryptionConfig":           {name: "PutEncryptionConfig", input: putEncryptionConfigInput, serve: (*Handler).putEncryptionConfig},
		"GetIndexingRules":              {name: "GetIndexingRules", input: getIndexingRulesInput, serve: (*Handler).getIndexingRules},
		"UpdateIndexingRule":            {name: "UpdateIndexingRule", input: updateIndexingRuleInput, serve: (*Handler).updateIndexingRule},
		"GetTraceSegmentDestination":    {name: "GetTraceSegmentDestination", input: emptyInput, serve: (*Handler).getTraceSegmentDestination},
		"UpdateTraceSegmentDestination": {name: "UpdateTraceSegmentDestination", input: updateTraceSegmentDestinationInput, serve: (*Handler).updateTraceSegmentDestination},

		"ListResourcePolicies": {name: "ListResourcePolicies", input: listResourcePoliciesInput, serve: (*Handler).listResourcePolicies},
		"PutResourcePolicy":    {name: "PutResourcePolicy", input: putResourcePolicyInput, serve: (*Handler).putResourcePolicy},
		"DeleteResourcePolicy": {name: "DeleteResourcePolicy", input: deleteResourcePolicyInput, serve: (*Handler).deleteResourcePolicy},

		"ListTagsForResource": {name: "ListTagsForResource", input: listTagsForResourceInput, serve: (*Handler).listTagsForResource},
		"TagResource":         {name: "TagResource", input: tagResourceInput, serve: (*Handler).tagResource},
		"UntagResource":       {name: "UntagResource", input: untagResourceInput, serve: (*Handler).untagResource},

		"StartTraceRetrieval":     {name: "StartTraceRetrieval", input: startTraceRetrievalInput, serve: (*Handler).startTraceRetrieval},
		"ListRetrievedTraces":     {name: "ListRetrievedTraces", input: listRetrievedTracesInput, serve: (*Handler).listRetrievedTraces},
		"GetRetrievedTracesGraph": {name: "GetRetrievedTracesGraph", input: getRetrievedTracesGraphInput, serve: (*Handler).getRetrievedTracesGraph},
		"CancelTraceRetrieval":    {name: "CancelTraceRetrieval", input: cancelTraceRetrievalInput, serve: (*Handler).cancelTraceRetrieval},

		"Insight":            {name: "GetInsight", input: getInsightInput, serve: (*Handler).getInsight},
		"InsightEvents":      {name: "GetInsightEvents", input: getInsightEventsInput, serve: (*Handler).getInsightEvents},
		"InsightImpactGraph": {name: "GetInsightImpactGraph", input: getInsightImpactGraphInput, serve: (*Handler).getInsightImpactGraph},
		"InsightSummaries":   {name: "GetInsightSummaries", input: getInsightSummariesInput, serve: (*Handler).getInsightSummaries},
	}
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

func between(min, max float64) *shape {
	return &shape{kind: kInt, hasMin: true, min: min, hasMax: true, max: max}
}

func list(of *shape) *shape { return &shape{kind: kList, elem: of} }
