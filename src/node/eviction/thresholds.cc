#include "node/eviction/thresholds.h"

#include <algorithm>
#include <cstdlib>

#include "base/text_parts.h"
#include "machinery/time.h"

namespace keles::node {
namespace {

struct SignalFacts {
  Signal signal;
  std::string_view name, resource;
  Pressure pressure;
};
constexpr std::string_view kStorage = "ephemeral-storage", kInodes = "inodes";
constexpr SignalFacts kSignals[] = {
    {Signal::kMemoryAvailable, "memory.available", "memory", Pressure::kMemory},
    {Signal::kAllocatableMemory, "allocatableMemory.available", "memory", Pressure::kMemory},
    {Signal::kNodeFsAvailable, "nodefs.available", kStorage, Pressure::kDisk},
    {Signal::kNodeFsInodes, "nodefs.inodesFree", kInodes, Pressure::kDisk},
    {Signal::kImageFsAvailable, "imagefs.available", kStorage, Pressure::kDisk},
    {Signal::kImageFsInodes, "imagefs.inodesFree", kInodes, Pressure::kDisk},
    {Signal::kContainerFsAvailable, "containerfs.available", kStorage, Pressure::kDisk},
    {Signal::kContainerFsInodes, "containerfs.inodesFree", kInodes, Pressure::kDisk},
    {Signal::kPidAvailable, "pid.available", "pids", Pressure::kPid},
};
const SignalFacts& facts(Signal s) { return kSignals[static_cast<size_t>(s)]; }

constexpr size_t kMaxEntries = 64;

Result<Signal> supported(const std::string& name) {
  auto s = signal_named(name);
  if (!s) return Status::bad_request("unsupported eviction signal " + name);
  return *s;
}

// "12.5%" as a part of one.
Result<float> percentage(std::string text) {
  const std::string whole = text;
  while (text.ends_with('%')) text.pop_back();
  char* end = nullptr;
  float value = std::strtof(text.c_str(), &end);
  bool form =
      !text.empty() && *end == 0 && text.find_first_not_of("0123456789.+-eE") == std::string::npos;
  if (!form)
    return Status::bad_request("strconv.ParseFloat: parsing \"" + text + "\": invalid syntax");
  return value / 100;
}

Result<std::optional<Threshold>> parse_statement(const std::string& name, const std::string& text) {
  TRY_ASSIGN(signal, supported(name));
  Threshold out;
  out.signal = signal;
  if (text.ends_with('%')) {
    if (text == "0%" || text == "100%") return std::optional<Threshold>();
    TRY_ASSIGN(part, percentage(text));
    const std::string what = "eviction percentage threshold " + name;
    if (part < 0) return Status::bad_request(what + " must be >= 0%: " + text);
    if (part > 1) return Status::bad_request(what + " must be <= 100%: " + text);
    out.value.fraction = part;
    return std::optional<Threshold>(out);
  }
  TRY_ASSIGN(amount, Quantity::parse(text));
  if (amount.sign() <= 0)
    return Status::bad_request("eviction threshold " + name +
                               " must be positive: " + amount.to_string());
  out.value.amount = amount;
  return std::optional<Threshold>(out);
}

Result<ThresholdValue> parse_minimum(const std::string& name, const std::string& text) {
  ThresholdValue out;
  if (text.ends_with('%')) {
    TRY_ASSIGN(part, percentage(text));
    if (part <= 0)
      return Status::bad_request("eviction percentage minimum reclaim " + name +
                                 " must be positive: " + text);
    out.fraction = part;
    return out;
  }
  TRY_ASSIGN(amount, Quantity::parse(text));
  if (amount.sign() < 0)
    return Status::bad_request("negative eviction minimum reclaim specified for " + name);
  out.amount = amount;
  return out;
}

Result<std::map<Signal, Duration>> parse_graces(const EvictionSettings::Map& map) {
  std::map<Signal, Duration> out;
  for (const auto& [name, text] : map) {
    TRY_ASSIGN(signal, supported(name));
    TRY_ASSIGN(grace, parse_duration(text));
    if (grace < Duration(0))
      return Status::bad_request("invalid eviction grace period specified: " + text +
                                 ", must be a positive value");
    out[signal] = grace;
  }
  return out;
}

}  // namespace

std::string_view signal_name(Signal s) { return facts(s).name; }
std::string_view resource_of(Signal s) { return facts(s).resource; }
Pressure pressure_of(Signal s) { return facts(s).pressure; }

std::optional<Signal> signal_named(std::string_view name) {
  for (const SignalFacts& f : kSignals)
    if (f.name == name) return f.signal;
  return std::nullopt;
}

std::string_view condition_name(Pressure p) {
  switch (p) {
    case Pressure::kMemory:
      return "MemoryPressure";
    case Pressure::kDisk:
      return "DiskPressure";
    case Pressure::kPid:
      return "PIDPressure";
  }
  return "";
}

Quantity ThresholdValue::of(int64_t capacity) const {
  if (amount) return *amount;
  constexpr double kMost = 9e18;
  auto part = static_cast<double>(capacity) * static_cast<double>(fraction);
  return Quantity::from_int(static_cast<int64_t>(std::min(part, kMost)),
                            Quantity::Format::kBinarySI);
}

EvictionSettings::Map EvictionSettings::default_hard() {
  return {{"memory.available", "100Mi"},
          {"nodefs.available", "10%"},
          {"nodefs.inodesFree", "5%"},
          {"imagefs.available", "15%"},
          {"imagefs.inodesFree", "5%"}};
}

Result<EvictionSettings::Map> parse_signal_map(std::string_view text, char separator) {
  EvictionSettings::Map out;
  for (std::string_view part : split_list(text)) {
    const std::string_view one = trim_left(part);
    if (one.empty()) continue;
    size_t at = one.find(separator);
    if (at == std::string_view::npos)
      return Status::bad_request("malformed pair, expect string" + std::string(1, separator) +
                                 "string");
    if (out.size() >= kMaxEntries) return Status::bad_request("too many eviction signals");
    out[std::string(trim_right(one.substr(0, at)))] = trim_left(one.substr(at + 1));
  }
  return out;
}

std::string signal_map_text(const EvictionSettings::Map& map, char separator) {
  std::string out;
  for (const auto& [name, value] : map)
    out += (out.empty() ? "" : ",") + name + std::string(1, separator) + value;
  return out;
}

Result<std::vector<Threshold>> parse_thresholds(const EvictionSettings& s, bool allocatable) {
  std::vector<Threshold> out;
  for (const auto& [name, text] : s.hard) {
    TRY_ASSIGN(t, parse_statement(name, text));
    if (t) out.push_back(*t);
  }
  TRY_ASSIGN(graces, parse_graces(s.soft_grace));
  for (const auto& [name, text] : s.soft) {
    TRY_ASSIGN(t, parse_statement(name, text));
    if (!t) continue;
    auto grace = graces.find(t->signal);
    if (grace == graces.end())
      return Status::bad_request("grace period must be specified for the soft eviction threshold " +
                                 name);
    t->grace = grace->second;
    out.push_back(*t);
  }
  for (const auto& [name, text] : s.minimum_reclaim) {
    TRY_ASSIGN(signal, supported(name));
    TRY_ASSIGN(value, parse_minimum(name, text));
    for (Threshold& t : out)
      if (t.signal == signal) t.minimum_reclaim = value;
  }
  for (size_t i = 0, n = out.size(); allocatable && i < n; ++i) {
    if (out[i].signal != Signal::kMemoryAvailable || !out[i].hard()) continue;
    Threshold share = out[i];
    share.signal = Signal::kAllocatableMemory;
    out.push_back(share);
  }
  return out;
}

std::vector<Threshold> with_container_fs(std::vector<Threshold> thresholds, DiskLayout layout) {
  std::erase_if(thresholds, [](const Threshold& t) {
    return t.signal == Signal::kContainerFsAvailable || t.signal == Signal::kContainerFsInodes;
  });
  const bool with_images = layout.image_fs && !layout.container_fs;
  const Signal space = with_images ? Signal::kImageFsAvailable : Signal::kNodeFsAvailable;
  const Signal inodes = with_images ? Signal::kImageFsInodes : Signal::kNodeFsInodes;
  for (size_t i = 0, n = thresholds.size(); i < n; ++i) {
    Threshold t = thresholds[i];
    if (t.signal != space && t.signal != inodes) continue;
    t.signal = t.signal == space ? Signal::kContainerFsAvailable : Signal::kContainerFsInodes;
    thresholds.push_back(t);
  }
  return thresholds;
}

}  // namespace keles::node
