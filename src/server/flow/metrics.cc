// apiserver_flowcontrol_*: upstream's names, labels and buckets
// (k8s.io/apiserver/pkg/util/flowcontrol/metrics). Made from the levels' figures when somebody
// asks, so that a request pays for none of it.
#include <cmath>
#include <cstdio>
#include <initializer_list>
#include <utility>

#include "server/flow/flow_control.h"
#include "server/flow/gauges.h"

namespace keles::flow {
namespace {

using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

std::string number(double d) {
  char text[40];
  const bool whole = d == std::floor(d) && std::fabs(d) < 1e15;
  std::snprintf(text, sizeof text, whole ? "%.0f" : "%.12g", d);
  return text;
}

// One family after another.
class Text {
 public:
  void family(std::string name, std::string_view type, std::string_view help) {
    name_ = "apiserver_flowcontrol_" + std::move(name);
    out_.append("# HELP ").append(name_).append(" ").append(help).append("\n");
    out_.append("# TYPE ").append(name_).append(" ").append(type).append("\n");
  }
  void value(Labels labels, double d) { line("", labels, "", number(d)); }
  void counts(Labels labels, const Counts& c) {
    if (!c.any()) return;
    uint64_t n = 0;
    for (size_t i = 0; i <= c.bounds().size(); ++i) {
      n += c.count(i);
      const std::string le = i < c.bounds().size() ? number(c.bounds()[i]) : "+Inf";
      line("_bucket", labels, le, std::to_string(n));
    }
    line("_sum", labels, "", number(c.sum()));
    line("_count", labels, "", std::to_string(n));
  }
  std::string take() { return std::move(out_); }

 private:
  void line(std::string_view suffix, Labels labels, std::string_view le, const std::string& v) {
    out_.append(name_).append(suffix);
    char before = '{';
    auto label = [&](std::string_view name, std::string_view text) {
      out_ += std::exchange(before, ',');
      out_.append(name).append("=\"").append(text).append("\"");
    };
    for (const auto& [name, text] : labels) label(name, text);
    if (!le.empty()) label("le", le);
    if (before == ',') out_ += '}';
    out_.append(" ").append(v).append("\n");
  }
  std::string name_, out_;
};

using Level = std::pair<FlowControl::LevelFigures, QueueSet::Figures>;
using All = std::vector<Level>;

// A family with a series for each level.
template <class F>
void by_level(Text& t, const All& all, const char* name, const char* help, F value) {
  t.family(name, "gauge", help);
  for (const Level& l : all) t.value({{"priority_level", l.first.name}}, value(l));
}

// A family with a series for each schema of each level that had a request.
template <class F>
void by_schema(Text& t, const All& all, const char* name, const char* type, const char* help,
               F write) {
  t.family(name, type, help);
  for (const auto& [level, set] : all) {
    for (const auto& [schema, s] : set.schemas) {
      const bool used = s.seats.any();
      if (used) write(std::string_view(level.name), std::string_view(schema), s);
    }
  }
}

void write_counters(Text& t, const All& all) {
  by_schema(t, all, "rejected_requests_total", "counter",
            "Number of requests rejected by API Priority and Fairness subsystem",
            [&](auto level, auto schema, const SchemaStats& s) {
              auto one = [&](std::string_view reason, uint64_t n) {
                if (n == 0) return;
                t.value({{"priority_level", level}, {"flow_schema", schema}, {"reason", reason}},
                        static_cast<double>(n));
              };
              one("concurrency-limit", s.over_limit);
              one("queue-full", s.queue_full);
              one("time-out", s.timed_out);
            });
  auto plain = [&](const char* name, const char* type, const char* help, auto value) {
    by_schema(t, all, name, type, help, [&](auto level, auto schema, const SchemaStats& s) {
      t.value({{"priority_level", level}, {"flow_schema", schema}}, static_cast<double>(value(s)));
    });
  };
  plain("dispatched_requests_total", "counter",
        "Number of requests executed by API Priority and Fairness subsystem",
        [](const SchemaStats& s) { return s.dispatched; });
  plain("request_dispatch_no_accommodation_total", "counter",
        "Number of times a dispatch attempt resulted in a non accommodation due to lack of "
        "available seats",
        [](const SchemaStats& s) { return s.no_room; });
  plain("current_inqueue_requests", "gauge",
        "Number of requests currently pending in queues of the API Priority and Fairness subsystem",
        [](const SchemaStats& s) { return s.waiting; });
  plain("current_inqueue_seats", "gauge",
        "Number of seats currently pending in queues of the API Priority and Fairness subsystem",
        [](const SchemaStats& s) { return s.waiting_seats; });
  plain("current_executing_requests", "gauge",
        "Number of requests in initial (for a WATCH) or any (for a non-WATCH) execution stage in "
        "the API Priority and Fairness subsystem",
        [](const SchemaStats& s) { return s.executing; });
  plain("current_executing_seats", "gauge",
        "Concurrency (number of seats) occupied by the currently executing (initial stage for a "
        "WATCH, any stage otherwise) requests in the API Priority and Fairness subsystem",
        [](const SchemaStats& s) { return s.executing_seats; });
}

void write_histograms(Text& t, const All& all) {
  auto plain = [&](const char* name, const char* help, auto member) {
    by_schema(t, all, name, "histogram", help, [&](auto level, auto schema, const SchemaStats& s) {
      t.counts({{"priority_level", level}, {"flow_schema", schema}}, s.*member);
    });
  };
  plain("request_queue_length_after_enqueue",
        "Length of queue in the API Priority and Fairness subsystem, as seen by each request after "
        "it is enqueued",
        &SchemaStats::queue_length);
  plain("watch_count_samples",
        "count of watchers for mutating requests in API Priority and Fairness",
        &SchemaStats::watchers);
  plain("work_estimated_seats",
        "Number of estimated seats (maximum of initial and final seats) associated with requests "
        "in API Priority and Fairness",
        &SchemaStats::seats);
  by_schema(t, all, "request_wait_duration_seconds", "histogram",
            "Length of time a request spent waiting in its queue",
            [&](auto level, auto schema, const SchemaStats& s) {
              t.counts({{"priority_level", level}, {"flow_schema", schema}, {"execute", "true"}},
                       s.waited);
              t.counts({{"priority_level", level}, {"flow_schema", schema}, {"execute", "false"}},
                       s.waited_in_vain);
            });
  by_schema(t, all, "request_execution_seconds", "histogram",
            "Duration of initial stage (for a WATCH) or any (for a non-WATCH) stage of request "
            "execution in the API Priority and Fairness subsystem",
            [&](auto level, auto schema, const SchemaStats& s) {
              t.counts({{"priority_level", level}, {"flow_schema", schema}, {"type", "regular"}},
                       s.executed);
              t.counts({{"priority_level", level}, {"flow_schema", schema}, {"type", "watch"}},
                       s.watch_started);
            });
}

void write_seats(Text& t, const All& all, double fair_fraction) {
  using L = const Level&;
  by_level(t, all, "nominal_limit_seats",
           "Nominal number of execution seats configured for each priority level",
           [](L l) { return l.first.nominal; });
  by_level(t, all, "lower_limit_seats",
           "Configured lower bound on number of execution seats available to each priority level",
           [](L l) { return l.first.least; });
  by_level(t, all, "upper_limit_seats",
           "Configured upper bound on number of execution seats available to each priority level",
           [](L l) { return l.first.most; });
  by_level(t, all, "current_limit_seats",
           "current derived number of execution seats available to each priority level",
           [](L l) { return l.first.current; });
  by_level(t, all, "demand_seats_high_watermark",
           "High watermark, over last adjustment period, of demand_seats",
           [](L l) { return l.first.high_watermark; });
  by_level(t, all, "demand_seats_average",
           "Time-weighted average, over last adjustment period, of demand_seats",
           [](L l) { return l.first.average; });
  by_level(t, all, "demand_seats_stdev",
           "Time-weighted standard deviation, over last adjustment period, of demand_seats",
           [](L l) { return l.first.deviation; });
  by_level(t, all, "demand_seats_smoothed", "Smoothed seat demands",
           [](L l) { return l.first.smoothed; });
  by_level(t, all, "target_seats", "Seat allocation targets", [](L l) { return l.first.target; });
  t.family("seat_fair_frac", "gauge",
           "Fair fraction of server's concurrency to allocate to each priority level that can use "
           "it");
  t.value({}, fair_fraction);
}

void write_virtual_time(Text& t, const All& all) {
  by_level(t, all, "current_r", "R(time of last change)",
           [](const Level& l) { return to_double(l.second.r); });
  auto queued = [&](const char* name, const char* help, auto write) {
    t.family(name, "gauge", help);
    for (const auto& [level, set] : all) {
      if (set.queued_once) write(level.name, set);
    }
  };
  auto one = [&](const char* name, const char* help, auto value) {
    queued(name, help, [&](const std::string& level, const QueueSet::Figures& f) {
      t.value({{"priority_level", level}}, to_double(f.virtual_time.*value));
    });
  };
  auto bounds = [&](const char* name, const char* help, auto low, auto high) {
    queued(name, help, [&](const std::string& level, const QueueSet::Figures& f) {
      t.value({{"priority_level", level}, {"bound", "min"}}, to_double(f.virtual_time.*low));
      t.value({{"priority_level", level}, {"bound", "max"}}, to_double(f.virtual_time.*high));
    });
  };
  using F = QueueSet::Virtual;
  one("dispatch_r", "R(time of last dispatch)", &F::dispatch_r);
  one("latest_s", "S(most recently dispatched request)", &F::latest_s);
  bounds("next_s_bounds", "min and max, over queues, of S(oldest waiting request in queue)",
         &F::s_min, &F::s_max);
  bounds("next_discounted_s_bounds",
         "min and max, over queues, of S(oldest waiting request in queue) - estimated work in "
         "progress",
         &F::discounted_min, &F::discounted_max);
  t.family("epoch_advance_total", "counter",
           "Number of times the queueset's progress meter jumped backward");
  for (const auto& [level, set] : all) {
    if (set.epochs == 0) continue;
    t.value({{"priority_level", level.name}, {"success", "true"}}, static_cast<double>(set.epochs));
  }
}

void write_parts(Text& t, const All& all) {
  t.family("priority_level_seat_utilization", "histogram",
           "Observations, at the end of every nanosecond, of utilization of seats for any stage of "
           "execution (but only initial stage for WATCHes)");
  for (const auto& [level, set] : all) {
    t.counts({{"phase", "executing"}, {"priority_level", level.name}}, set.seats_part);
  }
  t.family("priority_level_request_utilization", "histogram",
           "Observations, at the end of every nanosecond, of number of requests (as a fraction of "
           "the relevant limit) waiting or in any stage of execution (but only initial stage for "
           "WATCHes)");
  for (const auto& [level, set] : all) {
    t.counts({{"phase", "waiting"}, {"priority_level", level.name}}, set.waiting_part);
    t.counts({{"phase", "executing"}, {"priority_level", level.name}}, set.executing_part);
  }
  t.family("demand_seats", "histogram",
           "Observations, at the end of every nanosecond, of (the number of seats each priority "
           "level could use) / (nominal number of seats for that level)");
  for (const auto& [level, set] : all) {
    t.counts({{"priority_level", level.name}}, set.demand_part);
  }
}

}  // namespace

std::vector<std::pair<FlowControl::LevelFigures, QueueSet::Figures>> FlowControl::all_figures(
    Loop& loop, bool requests) const {
  std::vector<std::pair<LevelFigures, std::shared_ptr<QueueSet>>> sets;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [name, level] : levels_) sets.emplace_back(level.figures, level.set);
  }
  std::vector<std::pair<LevelFigures, QueueSet::Figures>> out;
  out.reserve(sets.size());
  for (const auto& [figures, set] : sets) out.emplace_back(figures, set->figures(loop, requests));
  return out;
}

std::string FlowControl::metrics(Loop& loop) {
  if (!enabled()) return "";
  const All all = all_figures(loop, false);
  double fair_fraction = 0;
  {
    std::lock_guard lock(mutex_);
    fair_fraction = fair_fraction_;
  }
  Text t;
  write_counters(t, all);
  write_histograms(t, all);
  write_seats(t, all, fair_fraction);
  write_virtual_time(t, all);
  write_parts(t, all);
  t.family("read_vs_write_current_requests", "histogram",
           "Observations, at the end of every nanosecond, of the number of requests (as a fraction "
           "of the relevant limit) waiting or in regular stage of execution");
  std::lock_guard lock(gauges_mutex_);
  gauges_->bring_up(loop.now());
  for (bool mutating : {false, true}) {
    const char* kind = mutating ? "mutating" : "readOnly";
    const auto& pair = gauges_->of[mutating ? 1 : 0];
    t.counts({{"phase", "waiting"}, {"request_kind", kind}}, pair.waiting.counts());
    t.counts({{"phase", "executing"}, {"request_kind", kind}}, pair.executing.counts());
  }
  return t.take();
}

}  // namespace keles::flow
