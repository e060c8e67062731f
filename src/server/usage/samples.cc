#include "server/usage/samples.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/text_parts.h"

namespace keles::usage {
namespace {

// A container without an earlier point is told of from its start, when that lies within these.
constexpr double kLeastAge = 5, kMostAge = 60;
// No second, byte or time is beyond this: what is computed of them stays whole.
constexpr double kMostValue = 1e15;

struct Line {
  std::string_view name;
  std::string ns, pod, container;
  double value = 0;
  int64_t at_ms = 0;
};

void skip_blanks(std::string_view& s) { s = trim_left(s, " \t"); }

// Up to a character that ends a name.
std::string_view take_name(std::string_view& s) {
  const size_t end = std::min(s.find_first_of("{=, \t}"), s.size());
  std::string_view out = s.substr(0, end);
  s.remove_prefix(end);
  return out;
}

// The rest of a quoted text, behind its first quote.
bool take_quoted(std::string_view& s, std::string* out) {
  while (!s.empty()) {
    char c = s.front();
    s.remove_prefix(1);
    if (c == '"') return true;
    if (c == '\\') {
      if (s.empty()) return false;
      c = s.front() == 'n' ? '\n' : s.front();
      s.remove_prefix(1);
    }
    out->push_back(c);
  }
  return false;
}

bool take_labels(std::string_view& s, Line* line) {
  if (s.empty() || s.front() != '{') return true;
  s.remove_prefix(1);
  for (;;) {
    skip_blanks(s);
    if (s.empty()) return false;
    if (s.front() == '}') break;
    const std::string_view name = take_name(s);
    skip_blanks(s);
    if (name.empty() || s.empty() || s.front() != '=') return false;
    s.remove_prefix(1);
    skip_blanks(s);
    if (s.empty() || s.front() != '"') return false;
    s.remove_prefix(1);
    std::string value;
    if (!take_quoted(s, &value)) return false;
    if (name == "namespace") line->ns = std::move(value);
    if (name == "pod") line->pod = std::move(value);
    if (name == "container") line->container = std::move(value);
    skip_blanks(s);
    if (!s.empty() && s.front() == ',') s.remove_prefix(1);
  }
  s.remove_prefix(1);
  return true;
}

std::string_view take_word(std::string_view& s) {
  skip_blanks(s);
  const size_t end = std::min(s.find_first_of(" \t\r"), s.size());
  std::string_view out = s.substr(0, end);
  s.remove_prefix(end);
  return out;
}

bool read_double(std::string_view word, double* out) {
  if (word.empty() || word.size() > 40) return false;
  const std::string text(word);
  char* end = nullptr;
  *out = std::strtod(text.c_str(), &end);
  return *end == '\0';
}

bool read_line(std::string_view s, int64_t now_ms, Line* line) {
  line->name = take_name(s);
  skip_blanks(s);
  if (line->name.empty() || !take_labels(s, line)) return false;
  if (!read_double(take_word(s), &line->value)) return false;
  line->at_ms = now_ms;
  const std::string_view when = take_word(s);
  if (when.empty()) return true;
  double at = 0;
  if (!read_double(when, &at) || !(std::fabs(at) < 1e15)) return false;
  line->at_ms = static_cast<int64_t>(at);
  return true;
}

void note_cpu(Point& p, const Line& line) {
  p.has_cpu = true;
  p.cpu_seconds = line.value;
  p.at_ms = line.at_ms;
}

void note_memory(Point& p, const Line& line) {
  p.has_memory = true;
  p.memory_bytes = line.value;
}

}  // namespace

Result<Sample> read_sample(std::string_view text, int64_t now_ms) {
  if (text.size() > kMaxSampleText) return Status::bad_request("the metrics are too long");
  Sample out;
  size_t containers = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view s = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    skip_blanks(s);
    if (s.empty() || s.front() == '#' || s == "\r") continue;
    Line line;
    if (!read_line(s, now_ms, &line)) return Status::bad_request("this is no line of metrics");
    if (!(line.value >= 0 && line.value < kMostValue)) continue;
    if (line.name == "node_cpu_usage_seconds_total") note_cpu(out.node, line);
    if (line.name == "node_memory_working_set_bytes") note_memory(out.node, line);
    if (!line.name.starts_with("container_") || line.pod.empty() || line.container.empty()) {
      continue;
    }
    const bool cpu = line.name == "container_cpu_usage_seconds_total";
    const bool memory = line.name == "container_memory_working_set_bytes";
    const bool start = line.name == "container_start_time_seconds";
    if (!cpu && !memory && !start) continue;
    auto [at, fresh] =
        out.pods[PodName(line.ns, line.pod)].try_emplace(std::move(line.container), Point());
    if (fresh && ++containers > kMaxContainers) {
      return Status::bad_request("there are too many containers in the metrics");
    }
    if (cpu) note_cpu(at->second, line);
    if (memory) note_memory(at->second, line);
    if (start) at->second.started = line.value;
  }
  return out;
}

void Series::add(const Point& next) {
  if (next.at_ms != now.at_ms) before = now;
  now = next;
}

void History::add(const Sample& next) {
  if (node) {
    node->add(next.node);
  } else {
    node.emplace(next.node);
  }
  std::map<PodName, std::map<std::string, Series>> kept;
  for (const auto& [pod, containers] : next.pods) {
    auto known = pods.find(pod);
    std::map<std::string, Series>& to = kept[pod];
    for (const auto& [name, point] : containers) {
      if (known != pods.end()) {
        auto series = known->second.extract(name);
        if (!series.empty()) {
          series.mapped().add(point);
          to.insert(std::move(series));
          continue;
        }
      }
      to.try_emplace(name, point);
    }
  }
  pods = std::move(kept);
}

std::optional<Used> used(const Point* before, const Point& now) {
  if (!now.has_cpu || !now.has_memory) return std::nullopt;
  Used out;
  out.memory_bytes = now.memory_bytes;
  out.until_ms = now.at_ms;
  const int64_t started_ms = static_cast<int64_t>(now.started * 1000);
  double cpu = 0;
  int64_t from = 0;
  if (before && before->has_cpu && before->started >= now.started) {
    cpu = before->cpu_seconds;
    from = before->at_ms;
  } else {
    const double age = static_cast<double>(now.at_ms - started_ms) / 1000;
    if (now.started <= 0 || age < kLeastAge || age > kMostAge) return std::nullopt;
    from = started_ms;
  }
  if (now.at_ms <= from || now.cpu_seconds < cpu) return std::nullopt;
  out.window = std::chrono::milliseconds(now.at_ms - from);
  out.cores = (now.cpu_seconds - cpu) / (static_cast<double>(now.at_ms - from) / 1000);
  return out;
}

std::optional<Used> used(const Series& of) {
  return used(of.before ? &*of.before : nullptr, of.now);
}

}  // namespace keles::usage
