#include "server/registry/managed.h"

#include <algorithm>
#include <array>

#include "base/text_parts.h"
#include "machinery/custom_kind.h"
#include "machinery/decode.h"
#include "machinery/decode_patched.h"
#include "machinery/kind_facts.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "server/registry/convert.h"
#include "server/registry/strategy.h"

namespace keles::registry {
namespace {

// What a write to a kind, or to a subresource of it, leaves as it was, beyond the rule: a status
// subresource takes the status and nothing of the spec, everything else nothing of the status.
// Where little can be changed, what that is (`only`).
struct Reset {
  std::string_view group, kind, subresource, paths;
  bool only = false;
};
constexpr Reset kResets[] = {
    {"", "Pod", "status", "spec metadata.deletionTimestamp metadata.ownerReferences"},
    {"", "Pod", "ephemeralcontainers", "spec.ephemeralContainers", true},
    {"", "Pod", "resize",
     "spec.containers.*.resources spec.containers.*.resizePolicy "
     "spec.initContainers.*.resources spec.initContainers.*.resizePolicy",
     true},
    {"apps", "Deployment", "status", "spec metadata.labels"},
    {"certificates.k8s.io", "CertificateSigningRequest", "", "spec status"},
    {"certificates.k8s.io", "CertificateSigningRequest", "status", "spec status.conditions"},
    {"certificates.k8s.io", "CertificateSigningRequest", "approval", "spec status.certificate"},
    {"networking.k8s.io", "ServiceCIDR", "status", "spec metadata"},
    {"resource.k8s.io", "ResourceClaim", "status", "spec metadata"},
    {"storage.k8s.io", "VolumeAttachment", "status", "spec metadata"},
    {"flowcontrol.apiserver.k8s.io", "FlowSchema", "status", "spec metadata"},
    {"flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration", "status", "spec metadata"},
    {"admissionregistration.k8s.io", "ValidatingAdmissionPolicy", "status", "spec metadata"},
    {"apiextensions.k8s.io", "CustomResourceDefinition", "status", "spec metadata"},
    {"apiregistration.k8s.io", "APIService", "status", "spec metadata"},
};

bool is_custom(const KindDesc& kind) { return kind.owner != nullptr; }

bool needs_webhook(const KindDesc& kind) {
  const CustomKinds* kinds = custom_kinds(kind);
  return kinds && kinds->converter();
}

apply::Resets made(std::string_view paths, bool only = false) {
  const Split all = split_list(paths, ' ');
  if (!only) return apply::Resets(std::vector<std::string_view>(all.begin(), all.end()));
  std::vector<apply::PathPattern> patterns;
  for (std::string_view path : all) {
    const Split names = split_list(path, '.');
    patterns.emplace_back(names.begin(), names.end());
  }
  return apply::Resets({}, std::move(patterns));
}

const apply::Resets& resets_of(const KindDesc& kind, std::string_view subresource) {
  static const std::vector<apply::Resets> special = [] {
    std::vector<apply::Resets> out;
    for (const Reset& r : kResets) out.push_back(made(r.paths, r.only));
    return out;
  }();
  static const apply::Resets none = made(""), spec = made("spec"), status = made("status"),
                             spec_and_metadata = made("spec metadata");
  for (size_t i = 0; i < special.size(); ++i) {
    const Reset& r = kResets[i];
    if (r.subresource == subresource && r.kind == kind.kind && r.group == kind.group) {
      return special[i];
    }
  }
  if (subresource == "status") return is_custom(kind) ? spec_and_metadata : spec;
  return subresource != "scale" && kind.subresource("status") ? status : none;
}

// The served versions of one kind.
class KindVersions final : public apply::Versions {
 public:
  explicit KindVersions(const KindDesc& kind, Conversions* asked = nullptr)
      : kind_(kind), asked_(asked) {}

  const TypeDesc* type_of(std::string_view api_version) const override {
    const KindDesc* k = find(api_version);
    return k ? k->type : nullptr;
  }
  Document convert(const Value& tree, std::string_view from, std::string_view to) const override {
    const KindDesc *f = find(from), *t = find(to);
    if (asked_ && f && t && f != t) {
      if (const Document* made = asked_->find(tree, *f, *t)) return made->clone();
    }
    Document d;
    d.root = deep_copy(d.arena, tree);
    if (f && t) registry::convert(*f, *t, d);
    if (t && t->owner) t->owner->bind(*t, d);
    return d;
  }
  const KindDesc* find(std::string_view api_version) const {
    if (const CustomKinds* custom = custom_kinds(kind_)) {
      const size_t slash = api_version.find('/');
      if (api_version.substr(0, slash) != kind_.group) return nullptr;
      const auto* v = custom->find(api_version.substr(slash + 1));
      return v && v->served ? &v->kind : nullptr;
    }
    const KindDesc* k = find_kind(api_version, kind_.kind);
    return k && &storage_kind(*k) == &storage_kind(kind_) ? k : nullptr;
  }

 private:
  const KindDesc& kind_;
  Conversions* asked_;  // null: versions differ by their names
};

// A write, with what its parts view.
struct Request {
  Request(const KindDesc& served, std::string_view subresource, const WriteRequest& how,
          WallTime now, Conversions* asked)
      : versions(served, asked), time(time_text(now)) {
    write.kind = &served;
    write.versions = &versions;
    write.manager = how.field_manager;
    write.subresource = subresource;
    write.now = time;
    write.resets = &resets_of(served, subresource);
    write.force = how.force;
    write.text_fields = !is_custom(served);
  }
  KindVersions versions;
  std::string time;
  apply::Write write;
};

Value& managed_in(Document& d) { return edit_metadata(d).get_or_add(d.arena, "managedFields"); }

// Where the replicas lie in each version; of a custom kind, where its definition says.
apply::FieldOfSubresource replicas_of(const KindDesc& kind) {
  apply::FieldOfSubresource f;
  f.parent_version = kind.api_version();
  f.inner_version = "autoscaling/v1";
  f.inner = "spec.replicas";
  f.path_in = [&kind](std::string_view version) -> std::optional<std::string_view> {
    const KindDesc* k = KindVersions(kind).find(version);
    if (!k) return std::nullopt;
    const CustomKinds* custom = custom_kinds(*k);
    if (!custom) return k->facts->scale.replicas;
    const auto& scale = custom->of(*k).scale;
    return scale ? scale->replicas : std::string_view();
  };
  return f;
}

bool same_entry_but_time(const Value& a, const Value& b) {
  for (std::string_view key :
       {"manager", "operation", "apiVersion", "subresource", "fieldsType", "fieldsV1"}) {
    if (!a[key].equals(b[key])) return false;
  }
  return true;
}

// The members but those of `without`, which hold what counts apart.
bool same_members(const Value& a, const Value& b, std::span<const std::string_view> without) {
  auto counts = [&](const Member& m) {
    return std::find(without.begin(), without.end(), m.key()) == without.end();
  };
  size_t left = 0;
  for (const Member& m : b.members()) left += counts(m) ? 1 : 0;
  for (const Member& m : a.members()) {
    if (!counts(m)) continue;
    const Value* other = b.find(m.key());
    if (!other || left-- == 0 || !m.value.equals(*other)) return false;
  }
  return left == 0;
}

}  // namespace

void track(const KindDesc& served, const KindDesc& kind, std::string_view subresource,
           const WriteRequest& how, WallTime now, const Value* before, Document& next,
           Conversions* asked) {
  if (how.tracked) return;
  const Request r(served, subresource, how, now, asked);
  if (&served == &kind) {
    apply::track_update(r.write, before, next);
    return;
  }
  Document shown = next.clone(), was;
  convert(kind, served, shown);
  if (before) {
    was.root = deep_copy(was.arena, *before);
    convert(kind, served, was);
  }
  apply::track_update(r.write, before ? &was.root : nullptr, shown);
  copy_member(next, edit_metadata(next), "managedFields",
              metadata(shown.root).find("managedFields"));
}

Task<void> track_converted(Context ctx, const KindDesc* served, const KindDesc* kind,
                           std::string subresource, const WriteRequest* how, const Value* before,
                           Document* next) {
  const WallTime now = ctx.loop().wall_now();
  Conversions asked;
  for (int i = 0; needs_webhook(*served) && !how->tracked && i < kConversionRounds; ++i) {
    Document attempt = next->clone();
    track(*served, *kind, subresource, *how, now, before, attempt, &asked);
    if (!asked.wants_any()) {
      *next = std::move(attempt);
      co_return;
    }
    Status s = co_await asked.ask(ctx);
    if (!s.ok()) break;
  }
  track(*served, *kind, subresource, *how, now, before, *next);
}

Task<Result<Document>> applied_converted(Context ctx, const KindDesc* served,
                                         std::string subresource, const WriteRequest* how,
                                         DocumentPtr shown, const Document* config) {
  if (!needs_webhook(*served)) {
    co_return applied(*served, subresource, *how, ctx.loop(), &shown->root, config->root);
  }
  Conversions asked;
  for (int i = 0; i < kConversionRounds; ++i) {
    auto made = applied(*served, subresource, *how, ctx.loop(), &shown->root, config->root, &asked);
    if (!asked.wants_any()) co_return std::move(made);
    Status s = co_await asked.ask(ctx);
    if (!s.ok()) co_return s;
  }
  co_return Status::internal("managers of other versions ask for conversions without end");
}

TrackedManagers::TrackedManagers(const Document& next) {
  const Value& list = metadata(next.root)["managedFields"];
  list_.root = deep_copy(list_.arena, list);
  first_ = list.items().data();
}

void TrackedManagers::put_back(Document& next) const {
  const Value& list = metadata(next.root)["managedFields"];
  if (!list.is_null() && list.items().data() == first_) return;
  copy_member(next, edit_metadata(next), "managedFields", &list_.root);
}

namespace {

// Whether what an apply does not name is as it is stored, which is normal: nothing was converted
// from another version on the way.
bool is_normal(const KindDesc& served, const Value& shown) {
  if (served.owner || &storage_kind(served) != &served) return false;
  const auto managers = metadata(shown)["managedFields"].items();
  return std::all_of(managers.begin(), managers.end(), [&served](const Value& m) {
    return m["apiVersion"].as_string() == served.api_version();
  });
}

}  // namespace

Result<Document> applied(const KindDesc& served, std::string_view subresource,
                         const WriteRequest& how, Loop& loop, const Value* shown,
                         const Value& config, Conversions* asked) {
  const Request r(served, subresource, how, loop.wall_now(), asked);
  TRY_ASSIGN(done, apply::apply_config(r.write, shown, config));
  Document next = std::move(done.object);
  if (served.owner) hold_kind(next.arena, served);
  Status s;
  if (shown && is_normal(served, *shown)) {
    s = normalize_patched(*served.type, next, config);
  } else {
    s = normalize(*served.type, next);
  }
  if (!s.ok()) {
    const bool core = served.group.empty();
    const std::string version = (core ? "/" : "") + std::string(served.api_version());
    const std::string gvk = version + ", Kind=" + std::string(served.kind);
    return Status(Reason::kUnknown,
                  "failed to convert new object (" + std::string(meta(next.root, "namespace")) +
                      "/" + std::string(meta(next.root, "name")) + "; " + gvk +
                      ") to proper version: unable to convert unstructured object to " + gvk +
                      ": " + s.message());
  }
  return next;
}

void keep_times(Document& next, const Value& before) {
  const Value& was = metadata(before)["managedFields"];
  Value* meta = next.root.find("metadata");
  Value* now = meta ? meta->find("managedFields") : nullptr;
  if (!now || now->empty() || now->size() != was.size()) return;
  // First what most writes change.
  static constexpr std::array<std::string_view, 1> kMetadata{"metadata"};
  static constexpr std::array<std::string_view, 2> kOwn{"managedFields", "resourceVersion"};
  if (!same_members(next.root, before, kMetadata) || !same_members(*meta, metadata(before), kOwn)) {
    return;
  }
  bool changed = false;
  for (size_t i = 0; i < was.size(); ++i) {
    if (!same_entry_but_time(now->at(i), was.at(i))) return;
    changed |= !now->at(i)["time"].equals(was.at(i)["time"]);
  }
  if (!changed) return;
  *now = deep_copy(next.arena, was);
}

Value scale_managers(Arena& out, const KindDesc& kind, const Value& object) {
  return apply::managed_in_subresource(out, metadata(object)["managedFields"], replicas_of(kind));
}

void take_scale_managers(Document& object, const KindDesc& kind, const Value& scale) {
  Value& list = managed_in(object);
  Value made = apply::managed_in_parent(object.arena, list, metadata(scale)["managedFields"],
                                        replicas_of(kind), !is_custom(kind));
  if (made.is_null()) {
    edit_metadata(object).erase("managedFields");
  } else {
    managed_in(object) = made;
  }
}

}  // namespace keles::registry
