#include "machinery/custom_kind.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/log.h"
#include "machinery/custom_object.h"
#include "machinery/unbound_kind.h"
#include "machinery/version_order.h"

namespace keles {
namespace {

constexpr std::array<std::string_view, 8> kVerbs{"create", "delete", "deletecollection", "get",
                                                 "list",   "patch",  "update",           "watch"};
constexpr std::array<std::string_view, 3> kSubresourceVerbs{"get", "patch", "update"};

constexpr ColumnDesc kName{
    "Name", "string", "name", "Name must be unique within a namespace.", 0, ".metadata.name"};
constexpr ColumnDesc kAge{"Age", "date",
                          "",    "CreationTimestamp is the time at which the object was created.",
                          0,     ".metadata.creationTimestamp"};

std::string_view without_dot(std::string_view path) {
  if (path.starts_with('.')) path.remove_prefix(1);
  return path;
}

}  // namespace

Result<KindRef> CustomKinds::make(ObjectPtr definition, std::shared_ptr<Converter> converter) {
  DocumentPtr tree = definition->tree();
  auto* made = new CustomKinds(std::move(definition), std::move(converter));
  made->retain();
  Status s = made->build(tree->root);
  KindRef out(made->stored_);
  made->release();
  if (!s.ok()) return s;
  return out;
}

CustomKinds::CustomKinds(ObjectPtr definition, std::shared_ptr<Converter> converter)
    : definition_(std::move(definition)), converter_(std::move(converter)) {}

Status CustomKinds::build(const Value& crd) {
  const Value& names = crd["status"]["acceptedNames"];
  for (std::string_view name : {"plural", "singular", "kind", "listKind"}) {
    if (names[name].as_string().empty()) {
      return Status::internal("no status.acceptedNames." + std::string(name));
    }
  }
  for (const Value& v : names["shortNames"].items()) short_names_.push_back(copy(v));
  for (const Value& v : names["categories"].items()) categories_.push_back(copy(v));
  const auto versions = crd["spec"]["versions"].items();
  for (size_t i = 0; i < versions.size(); ++i) {
    auto version = std::make_unique<Version>();
    version->index = i;
    build_version(crd, versions[i], *version);
    versions_.push_back(std::move(version));
  }
  for (const auto& v : versions_) {
    if (v->stored) stored_ = &v->kind;
  }
  return stored_ ? Status() : Status::internal("none of its versions is stored");
}

void CustomKinds::build_version(const Value& crd, const Value& from, Version& to) {
  const Value& names = crd["status"]["acceptedNames"];
  KindDesc& k = to.kind;
  k.group = copy(crd["spec"]["group"]);
  k.version = copy(from["name"]);
  k.kind = copy(names["kind"]);
  k.list_kind = copy(names["listKind"]);
  k.plural = copy(names["plural"]);
  k.singular = copy(names["singular"]);
  k.namespaced = crd["spec"]["scope"].as_string() == "Namespaced";
  k.short_names = short_names_;
  k.categories = categories_;
  k.verbs = kVerbs;
  k.api_version_ = copy(std::string(k.group) + '/' + std::string(k.version));
  k.group_resource_ = copy(std::string(k.plural) + '.' + std::string(k.group));
  k.type = TypeRef(&k);
  k.owner = this;
  k.facts = &to.facts;
  to.facts.key_prefix =
      copy("/registry/" + std::string(k.group) + '/' + std::string(k.plural) + '/');
  to.facts.generation = GenerationRule::kContent;
  to.facts.unconditional_update = false;
  to.facts.keeps_empty = true;
  to.served = from["served"].as_bool();
  to.stored = from["storage"].as_bool();
  if (from["deprecated"].as_bool()) to.facts.deprecated = copy(deprecation_of(crd, from));

  const Value& sub = from["subresources"];
  if (sub["scale"].is_map()) {
    const Value& s = sub["scale"];
    to.scale =
        Scale{without_dot(copy(s["specReplicasPath"])), without_dot(copy(s["statusReplicasPath"])),
              without_dot(copy(s["labelSelectorPath"]))};
    to.subresources.push_back({"scale", "Scale", "autoscaling", "v1", kSubresourceVerbs});
  }
  if (sub["status"].is_map()) {
    to.subresources.push_back({"status", {}, {}, {}, kSubresourceVerbs});
  }
  k.subresources = to.subresources;

  to.columns.push_back(kName);
  for (const Value& c : from["additionalPrinterColumns"].items()) {
    const std::string_view path = copy(c["jsonPath"]);
    std::string_view about = copy(c["description"]);
    if (about.empty()) {
      about = copy("Custom resource definition column (in JSONPath format): " + std::string(path));
    }
    to.columns.push_back({copy(c["name"]), copy(c["type"]), copy(c["format"]), about,
                          static_cast<int>(c["priority"].as_int()), path});
  }
  if (to.columns.size() == 1) to.columns.push_back(kAge);
  for (size_t i = 0; i < to.columns.size(); ++i) {
    auto path = JsonPath::parse('{' + std::string(to.columns[i].path) + '}');
    if (!path.ok()) {  // as upstream: of columns that cannot be read, the name alone is shown
      to.columns.resize(1);
      to.cells.resize(1);
      break;
    }
    to.cells.push_back(std::move(*path));
  }
  k.columns = to.columns;

  for (const Value& f : from["selectableFields"].items()) {
    to.selectable.push_back(without_dot(copy(f["jsonPath"])));
  }
  k.selectable_fields = to.selectable;
}

// What its definition says, or which version to use instead.
std::string CustomKinds::deprecation_of(const Value& crd, const Value& version) const {
  if (const Value& said = version["deprecationWarning"]; said.is_string()) {
    return std::string(said.as_string());
  }
  const std::string group(crd["spec"]["group"].as_string());
  const std::string kind(crd["spec"]["names"]["kind"].as_string());
  const std::string_view name = version["name"].as_string();
  std::string_view better;
  for (const Value& v : crd["spec"]["versions"].items()) {
    const std::string_view other = v["name"].as_string();
    if (!v["served"].as_bool() || v["deprecated"].as_bool() || !version_before(other, name)) {
      continue;
    }
    if (better.empty() || version_before(other, better)) better = other;
  }
  std::string out = group + '/' + std::string(name) + ' ' + kind + " is deprecated";
  if (!better.empty()) out += "; use " + group + '/' + std::string(better) + ' ' + kind;
  return out;
}

const CustomKinds::Version* CustomKinds::find(std::string_view version) const {
  for (const auto& v : versions_) {
    if (v->kind.version == version) return v.get();
  }
  return nullptr;
}

const CustomKinds::Version& CustomKinds::of(const KindDesc& kind) const {
  for (const auto& v : versions_) {
    if (&v->kind == &kind) return *v;
  }
  return *versions_.front();
}

const Value& CustomKinds::schema_in(const Document& definition, const Version& version) const {
  return definition.root["spec"]["versions"].at(version.index)["schema"]["openAPIV3Schema"];
}

void CustomKinds::withdraw() const {
  withdrawn_.store(true);
  ended_.tell();
}

const TypeDesc& CustomKinds::type_of(const KindDesc& kind) const {
  const Version& v = of(kind);
  std::call_once(v.once, [&] {
    DocumentPtr tree = definition_->tree();
    auto made = StructuralSchema::compile(schema_in(*tree, v), model_name(kind, kind.kind),
                                          tree->root["spec"]["preserveUnknownFields"].as_bool());
    if (made.ok()) {
      v.compiled = std::move(*made);
    } else {
      log::error("Schema of a custom resource cannot be used: nothing is held against it",
                 {{"kind", kind.kind}, {"version", kind.api_version()}, {"error", made.status()}});
    }
  });
  return v.compiled ? v.compiled->type() : open_type();
}

void CustomKinds::bind(const KindDesc& kind, Document& doc) const {
  doc.root.set(doc.arena, "apiVersion", Value::string(kind.api_version()));
  doc.root.set(doc.arena, "kind", Value::string(kind.kind));
  shape_stored_custom(type_of(kind), doc.arena, doc.root);
}

std::string model_name(const KindDesc& kind, std::string_view name) {
  std::string out;
  std::string_view rest = kind.group;
  while (!rest.empty()) {
    const size_t dot = rest.rfind('.');
    out.append(rest.substr(dot == rest.npos ? 0 : dot + 1)).push_back('.');
    rest = rest.substr(0, dot == rest.npos ? 0 : dot);
  }
  return out.append(kind.version).append(".").append(name);
}

const CustomKinds* custom_kinds(const KindDesc& kind) {
  // Only a kind that has a resource has a definition.
  return kind.owner ? dynamic_cast<const CustomKinds*>(kind.owner) : nullptr;
}

}  // namespace keles
