// What debugging endpoints show: levels, queues and requests, as upstream's tables of commas and
// blanks (k8s.io/apiserver/pkg/util/flowcontrol/apf_controller_debug.go).
#include <algorithm>

#include "machinery/time.h"
#include "server/flow/flow_control.h"

namespace keles::flow {
namespace {

constexpr std::string_view kPath = "/debug/api_priority_and_fairness/";

using Row = std::vector<std::string>;

// Columns are as wide as their widest cell, which counts its comma, and one blank; the last has its
// own width.
std::string table(const std::vector<Row>& rows) {
  constexpr size_t kLeast = 8;
  std::vector<size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), kLeast);
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size() + 2);
  }
  std::string out;
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 == row.size()) continue;
      out += ',';
      out.append(widths[i] - row[i].size() - 1, ' ');
    }
    out += '\n';
  }
  return out;
}

std::string yes_no(bool b) { return b ? "true" : "false"; }

// RFC 3339 with as many digits of a second as there are; Go's zero time for none.
std::string time_of(WallTime t) {
  if (t.ns == 0) return "0001-01-01T00:00:00Z";
  std::string out = format_time(t);
  std::string part = std::to_string(1'000'000'000 + t.ns % 1'000'000'000).substr(1);
  while (!part.empty() && part.back() == '0') part.pop_back();
  if (!part.empty()) out.insert(out.size() - 1, "." + part);
  return out;
}

}  // namespace

std::string FlowControl::dump_levels(Loop& loop) const {
  std::vector<Row> rows{{"PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing",
                         "WaitingRequests", "ExecutingRequests", "DispatchedRequests",
                         "RejectedRequests", "TimedoutRequests", "CancelledRequests"}};
  for (const auto& [level, set] : all_figures(loop, false)) {
    const auto active = std::count_if(set.queues.begin(), set.queues.end(),
                                      [](const auto& q) { return q.waiting > 0; });
    rows.push_back({level.name, std::to_string(active),
                    yes_no(set.waiting == 0 && set.executing == 0), yes_no(level.quiescing),
                    std::to_string(set.waiting), std::to_string(set.executing),
                    std::to_string(set.dispatched), std::to_string(set.refused), "0",
                    std::to_string(set.timed_out)});
  }
  return table(rows);
}

std::string FlowControl::dump_queues(Loop& loop) const {
  std::vector<Row> rows{{"PriorityLevelName", "Index", "PendingRequests", "ExecutingRequests",
                         "SeatsInUse", "NextDispatchR", "InitialSeatsSum", "MaxSeatsSum",
                         "TotalWorkSum"}};
  for (const auto& [level, set] : all_figures(loop, false)) {
    int index = 0;
    for (const QueueSet::SeenQueue& q : set.queues) {
      rows.push_back({level.name, std::to_string(index++), std::to_string(q.waiting),
                      std::to_string(q.executing), std::to_string(q.seats_in_use),
                      to_text(q.next_r), std::to_string(q.initial_seats),
                      std::to_string(q.widest_seats), to_text(q.work)});
    }
  }
  return table(rows);
}

std::string FlowControl::dump_requests(Loop& loop, bool details) const {
  std::vector<Row> rows{{"PriorityLevelName", "FlowSchemaName", "QueueIndex", "RequestIndexInQueue",
                         "FlowDistingsher", "ArriveTime", "InitialSeats", "FinalSeats",
                         "AdditionalLatency", "StartTime"}};
  if (details) {
    for (const char* column : {"UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion",
                               "Resource", "SubResource"}) {
      rows[0].emplace_back(column);
    }
  }
  for (const auto& [level, set] : all_figures(loop, true)) {
    for (const QueueSet::Seen& r : set.requests) {
      Row row{level.name,
              r.schema,
              std::to_string(r.queue),
              std::to_string(r.place),
              r.distinguisher,
              time_of(r.arrived),
              std::to_string(r.work.seats),
              std::to_string(r.work.final_seats),
              format_duration(r.work.extra),
              time_of(r.started)};
      if (details) {
        for (const std::string* cell : {&r.user, &r.verb, &r.path, &r.ns, &r.name, &r.api_version,
                                        &r.resource, &r.subresource}) {
          row.push_back(*cell);
        }
      }
      rows.push_back(std::move(row));
    }
  }
  return table(rows);
}

std::optional<std::string> FlowControl::dump(Loop& loop, std::string_view path, bool details) {
  if (!enabled() || !path.starts_with(kPath)) return std::nullopt;
  path.remove_prefix(kPath.size());
  if (path == "dump_priority_levels") return dump_levels(loop);
  if (path == "dump_queues") return dump_queues(loop);
  if (path == "dump_requests") return dump_requests(loop, details);
  return std::nullopt;
}

}  // namespace keles::flow
