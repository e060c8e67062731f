#include "server/registry/selection.h"

#include "machinery/custom_kind.h"
#include "machinery/fields.h"
#include "machinery/labels.h"
#include "server/objects/keys.h"
#include "server/registry/strategy.h"

namespace keles::registry {

struct Selection::Rep {
  const KindDesc* kind;
  Selector labels;
  FieldSelector fields;
  FieldSelector::Reader read;
  bool by_name_only = false;  // every term is on metadata.name / metadata.namespace
};

Result<Selection> Selection::parse(const KindDesc& kind, std::string_view label_selector,
                                   std::string_view field_selector) {
  Selection out;
  if (label_selector.empty() && field_selector.empty()) return out;
  auto rep = std::make_shared<Rep>();
  rep->kind = &kind;
  if (!label_selector.empty()) {
    auto labels = Selector::parse(label_selector);
    if (!labels.ok()) return Status::bad_request(labels.status().message());
    rep->labels = std::move(*labels);
  }
  auto fields = FieldSelector::parse(field_selector);
  if (!fields.ok()) return Status::bad_request(fields.status().message());
  TRY(fields->validate(kind));
  rep->fields = std::move(*fields);
  rep->read = strategy_of(kind).selectable_field;
  rep->by_name_only = true;
  for (const auto& t : rep->fields.terms()) {
    rep->by_name_only &= t.path == "metadata.name" || t.path == "metadata.namespace";
  }
  out.rep_ = std::move(rep);
  return out;
}

bool Selection::everything() const { return !rep_; }

std::string_view Selection::only_name() const {
  const std::string* name = rep_ ? rep_->fields.exact("metadata.name") : nullptr;
  return name ? std::string_view(*name) : std::string_view();
}

WatchPart Selection::part(const KindDesc& kind, std::string_view name) const {
  WatchPart out;
  if (name.empty()) name = only_name();
  if (!name.empty()) {
    out.field = "metadata.name";
    out.of = [](const Object& o) { return std::string(o.name()); };
    out.value = name;
    return out;
  }
  if (!rep_) return out;
  if (&storage_kind(kind) != &kind || custom_kinds(kind)) return out;
  for (const FieldSelector::Term& t : rep_->fields.terms()) {
    if (!t.equal || t.path == "metadata.namespace") continue;
    out.field = t.path;
    out.of = [kind = rep_->kind, path = t.path, read = rep_->read](const Object& o) {
      const DocumentPtr tree = o.tree();
      return read ? read(tree->root, path) : selectable_text(*kind, tree->root, path);
    };
    out.value = t.value;
    break;
  }
  return out;
}

bool Selection::matches(const ObjectPtr& object) const {
  if (!rep_) return true;
  if (rep_->by_name_only) {  // without decoding
    for (const auto& t : rep_->fields.terms()) {
      auto has = t.path == "metadata.name" ? object->name() : object->namespace_();
      if ((has == t.value) != t.equal) return false;
    }
    if (rep_->labels.is_everything()) return true;
  }
  DocumentPtr tree = object->tree();
  if (!rep_->labels.matches(tree->root["metadata"]["labels"])) return false;
  return rep_->by_name_only || rep_->fields.matches(*rep_->kind, tree->root, rep_->read);
}

}  // namespace keles::registry
