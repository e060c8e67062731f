// The kinds that a CustomResourceDefinition defines: a KindDesc for each of its versions, made from
// it while the server runs, and owned together (KindOwner). They are immutable: a definition that
// changes makes others, and these are withdrawn.
//
// A version's schema is compiled when its type is first asked for: a thousand definitions that
// nobody uses cost their names.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/notice.h"
#include "base/task.h"
#include "machinery/jsonpath.h"
#include "machinery/kind_facts.h"
#include "machinery/object.h"
#include "machinery/schema.h"
#include "machinery/structural_schema.h"
#include "machinery/value.h"

namespace keles {

// Between the versions of one definition, where they differ by more than their name: its webhook.
// Any thread; resumes on ctx's loop.
class Converter {
 public:
  virtual ~Converter() = default;
  // Each of the objects, whole trees with their apiVersion and of whatever version of the kind, as
  // `to`: in their order, all or none. Metadata but labels and annotations is as it was. What comes
  // back is pruned and defaulted by the caller.
  virtual Task<Result<std::vector<Document>>> convert(Context ctx, const KindDesc* to,
                                                      std::vector<DocumentPtr> objects) = 0;
};

class CustomKinds final : public KindOwner {
 public:
  // Dotted paths, without a first dot.
  struct Scale {
    std::string_view replicas, observed, selector;
  };
  struct Version {
    KindDesc kind{};
    bool served = false, stored = false;
    std::optional<Scale> scale;
    std::vector<JsonPath> cells;  // of kind.columns, in their order

    // What a layer above makes of the schema when it first needs it: its rules, compiled. Kept as
    // long as the kind is.
    struct Kept {
      std::once_flag once;
      std::shared_ptr<const void> made;
    };
    mutable Kept rules;

   private:
    friend class CustomKinds;
    KindFacts facts;
    std::vector<SubresourceDesc> subresources;
    std::vector<ColumnDesc> columns;
    std::vector<std::string_view> selectable;
    size_t index = 0;  // in spec.versions
    mutable std::once_flag once;
    mutable std::shared_ptr<const StructuralSchema> compiled;
  };

  // The kinds of a definition whose names have been accepted (status.acceptedNames), as the one
  // that is stored. `converter`: null when its versions differ by name alone.
  static Result<KindRef> make(ObjectPtr definition, std::shared_ptr<Converter> converter = nullptr);

  const std::vector<std::unique_ptr<Version>>& versions() const { return versions_; }
  const Version* find(std::string_view version) const;
  const Version& of(const KindDesc& kind) const;  // one of its own
  // The version's openAPIV3Schema, a part of `definition`, which is definition()->tree().
  const Value& schema_in(const Document& definition, const Version& version) const;
  const KindDesc& stored() const { return *stored_; }
  Converter* converter() const { return converter_.get(); }
  const ObjectPtr& definition() const { return definition_; }

  // The definition is being deleted: what there is can still be read and deleted.
  bool closing() const { return closing_.load(); }
  void close() const { closing_.store(true); }
  // These kinds are served no more. Those who watch them end (Notice).
  bool withdrawn() const { return withdrawn_.load(); }
  void withdraw() const;
  Notice& ended() const { return ended_; }

  const TypeDesc& type_of(const KindDesc& kind) const override;
  void bind(const KindDesc& kind, Document& doc) const override;

 private:
  CustomKinds(ObjectPtr definition, std::shared_ptr<Converter> converter);
  ~CustomKinds() override = default;
  Status build(const Value& crd);
  void build_version(const Value& crd, const Value& from, Version& to);
  std::string_view copy(std::string_view s) { return names_.copy(s); }
  std::string_view copy(const Value& text) { return copy(text.as_string()); }
  std::string deprecation_of(const Value& crd, const Value& version) const;

  ObjectPtr definition_;
  std::shared_ptr<Converter> converter_;
  Arena names_;
  std::vector<std::string_view> short_names_, categories_;
  std::vector<std::unique_ptr<Version>> versions_;
  const KindDesc* stored_ = nullptr;
  mutable std::atomic<bool> closing_{false}, withdrawn_{false};
  mutable Notice ended_;
};

// The definition's kinds that `kind` is one of; null for built-in kinds, and for those of which
// only the name is known.
const CustomKinds* custom_kinds(const KindDesc& kind);

// How OpenAPI names the type of a custom kind, or of its list: "com.example.stable.v1.CronTab".
std::string model_name(const KindDesc& kind, std::string_view name);

}  // namespace keles
