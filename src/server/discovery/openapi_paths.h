// Paths and operations of OpenAPI documents, from kind descriptors. Used by openapi.cc alone.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "machinery/schema.h"
#include "server/discovery/openapi_schema.h"

namespace keles::server {

class PathsBuilder {
 public:
  PathsBuilder(Arena& arena, OpenApiVersion version, Definitions& definitions)
      : arena_(arena), version_(version), definitions_(definitions) {}

  // Every path of one served kind, its subresources and its watches.
  void add_kind(const KindDesc& kind);
  void add_group_page(std::string_view group);
  void add_version_page(std::string_view group, std::string_view version);
  void add_version();  // /version/

  Value take_paths();
  // v2 names common parameters once.
  Value take_parameters();

 private:
  // What a path is about: its names go into the operation's id.
  struct Place {
    const KindDesc* kind;  // whose path it is
    const SubresourceDesc* sub = nullptr;
    bool namespaced = false;  // the path has {namespace}
    std::string suffix;       // "Status", "ForAllNamespaces", "WithPath"
  };
  struct Body {
    std::string_view group, version, kind;
  };
  Body body_of(const Place& at) const;

  void collection(const KindDesc& kind, const std::string& path, bool namespaced, bool everything);
  void watches(const KindDesc& kind);
  void item(const KindDesc& kind, const std::string& path);
  void subresource(const KindDesc& kind, const SubresourceDesc& sub, const std::string& path);
  void connect(const KindDesc& kind, const SubresourceDesc& sub, const std::string& path,
               const KindDesc* options);

  Value operation(std::string id, std::string_view action, const Body& about,
                  std::string_view tag_group, std::string_view tag_version);
  void set_responses(Value& op, const TypeDesc* type, std::initializer_list<const char*> codes,
                     bool stream = false);
  void set_text_response(Value& op);
  void set_body(Value& op, const TypeDesc& type);
  void set_patch_body(Value& op);
  void set_delete_options_body(Value& op);
  void add_parameters(Value& holder, std::span<const std::string_view> names);
  void add_parameters(Value& holder, std::initializer_list<std::string_view> names) {
    add_parameters(holder, std::span(names.begin(), names.size()));
  }
  Value parameter(std::string_view name);
  Value make_parameter(std::string_view name, std::string_view in, std::string_view type);
  Value& path_item(const std::string& path);
  Value text(std::string_view s) { return Value::string(s); }
  Value copy(std::string_view s) { return Value::string(arena_.copy(s)); }

  Arena& arena_;
  OpenApiVersion version_;
  Definitions& definitions_;
  std::map<std::string, Value> paths_;
  std::map<std::string, Value> parameters_;
  bool custom_ = false;  // the kind at hand: it has neither protobuf nor strategic merge patches
};

}  // namespace keles::server
