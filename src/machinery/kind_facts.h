// What the generic server does differently for a kind, as data: the description has these under the
// kind (api/README.md), a custom resource gets them with its other descriptors. No generic code
// names a kind; it asks here. Immutable, as long-lived as the kind.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace keles {

struct KindDesc;

// How a kind's names are checked; kStrategy: by the strategy's validate_name.
enum class NameRule : uint8_t { kSubdomain, kLabel, kLabel1035, kPathSegment, kStrategy };

// Which changes raise metadata.generation (from 1): none, and then it is never set; those outside
// metadata and status; these or those of annotations; these or those of labels; or it is 1 for
// ever.
enum class GenerationRule : uint8_t {
  kNone,
  kContent,
  kContentOrAnnotations,
  kContentOrLabels,
  kConstant
};

// What a first delete does: the object goes at once (unless finalizers hold it); it is given the
// strategy's grace period; or it stays until `spec.finalizers` is empty too (namespaces).
enum class DeletionRule : uint8_t { kAtOnce, kGraceful, kSpecFinalizers };

// Where the subresource "scale" finds its numbers, as dotted paths; "" where there is no scale.
// `selector` names a label selector, a set of labels or its text, which its type tells.
struct ScaleFacts {
  std::string_view replicas, observed, selector;
};

struct KindFacts {
  // Where objects lie in the store: "/registry/services/specs/". Of the kind stored, see `stored`.
  std::string_view key_prefix;
  // As which kind the objects are stored; null: as this one.
  const KindDesc* stored = nullptr;
  // The number of its strategy in registry::described_strategies; 0: it has none.
  uint16_t strategy = 0;
  NameRule name = NameRule::kSubdomain;
  GenerationRule generation = GenerationRule::kNone;
  DeletionRule deletion = DeletionRule::kAtOnce;
  bool computed = false;             // nothing is stored: each read makes the objects anew
  bool create_on_update = false;     // a PUT of an absent name creates it
  bool unconditional_update = true;  // a PUT without resourceVersion replaces
  bool returns_deleted = false;      // a delete is answered with the object, not with a Status
  bool orphans = false;              // a delete that does not say orphans its dependents
  bool keeps_empty = false;          // hooks see empty lists and maps, which else are absent
  bool status_on_create = false;     // a create may bring its status
  bool claims_addresses = false;     // a write claims addresses and ports (ServiceAllocator)
  bool patient_updates = false;      // who updates one waits a few ms for others' sake (StoreWrite)
  std::string_view delete_warning;   // for who deletes without saying what becomes of dependents
  std::string_view deprecated;       // for who uses the kind at all: a Warning header
  std::string_view pod_template;     // dotted path of the pod template inside ("spec.template")
  ScaleFacts scale;
};

// One served version of a group: where discovery names it, and what its APIService says.
struct GroupVersionFacts {
  std::string_view group, version;
  int group_priority = 0;    // of all its versions the highest counts: higher groups come first
  int version_priority = 0;  // within the group
};
// By group and version; null when it is not described.
const GroupVersionFacts* find_group_version(std::string_view group, std::string_view version);
std::span<const GroupVersionFacts> all_group_versions();

}  // namespace keles
