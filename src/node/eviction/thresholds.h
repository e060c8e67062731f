// Eviction thresholds: what a node's settings say of how much must stay free, and for how long less
// is borne (https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/).
// Pure; errors are upstream's texts.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "base/status.h"
#include "machinery/quantity.h"

namespace keles::node {

enum class Signal : uint8_t {
  kMemoryAvailable,
  kAllocatableMemory,
  kNodeFsAvailable,
  kNodeFsInodes,
  kImageFsAvailable,
  kImageFsInodes,
  kContainerFsAvailable,
  kContainerFsInodes,
  kPidAvailable,
};
std::string_view signal_name(Signal s);  // "memory.available"
std::optional<Signal> signal_named(std::string_view name);
// What is reclaimed when it is crossed: "memory", "ephemeral-storage", "inodes", "pids".
std::string_view resource_of(Signal s);

enum class Pressure : uint8_t { kMemory, kDisk, kPid };
std::string_view condition_name(Pressure p);  // "MemoryPressure"
Pressure pressure_of(Signal s);

struct ThresholdValue {
  std::optional<Quantity> amount;
  float fraction = 0;  // of the capacity, when there is no amount
  Quantity of(int64_t capacity) const;
  bool operator==(const ThresholdValue&) const = default;
};

struct Threshold {
  Signal signal = Signal::kMemoryAvailable;
  ThresholdValue value;
  Duration grace{0};  // 0: hard
  std::optional<ThresholdValue> minimum_reclaim;
  bool hard() const { return grace == Duration(0); }
  // The same limit, whatever is reclaimed for it.
  bool same(const Threshold& o) const {
    return signal == o.signal && grace == o.grace && value == o.value;
  }
};

struct EvictionSettings {
  using Map = std::map<std::string, std::string>;  // by the signal's name
  static Map default_hard();
  Map hard = default_hard();
  Map soft, soft_grace, minimum_reclaim;
  Duration transition_period = std::chrono::minutes(5);
  int64_t max_pod_grace_seconds = 0;
  Duration period = std::chrono::seconds(10);  // between two looks at the node
};

// "memory.available<100Mi,nodefs.available<10%" (separator '<') or "memory.available=1m30s" ('=').
// At most 64 entries.
Result<EvictionSettings::Map> parse_signal_map(std::string_view text, char separator);
std::string signal_map_text(const EvictionSettings::Map& map, char separator);

// Hard ones, then soft ones, each in the order of the signals' names. With `allocatable`, the hard
// limit of the node's memory is one of the pods' share of it too.
Result<std::vector<Threshold>> parse_thresholds(const EvictionSettings& s, bool allocatable = true);

// Where a node keeps images and containers' writable layers, beside the file system of the pods.
struct DiskLayout {
  bool image_fs = false;      // images are on a file system of their own
  bool container_fs = false;  // and writable layers are not with them
  bool operator==(const DiskLayout&) const = default;
};
// With the thresholds of the containers' file system: those of the one that it is.
std::vector<Threshold> with_container_fs(std::vector<Threshold> thresholds, DiskLayout layout);

}  // namespace keles::node
