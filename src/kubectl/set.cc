#include "kubectl/set.h"

#include "kubectl/podspec.h"
#include "machinery/codec_json.h"
#include "machinery/schema.h"

namespace keles::kubectl {
namespace {

// As a typed client holds it: what its kind always writes is there.
Document typed(const Found& f) {
  const KindDesc* built_in = find_kind(f.resource->api_version(), f.resource->kind);
  if (!built_in) return f.object.clone();
  std::string text;
  write_json(text, *built_in, f.object.root);
  Result<Document> again = parse_json(text);
  return again.ok() ? std::move(*again) : f.object.clone();
}

std::string object_name(const Found& f) {
  if (!f.own) return f.resource->plural + "/" + f.name;
  return f.display() + (f.resource->group.empty() ? "" : "\n");
}

Result<ClientPatch> patch_between(const Found& f, const Value& before, const Value& after) {
  ClientPatch patch;
  if (const KindDesc* built_in = find_kind(f.resource->api_version(), f.resource->kind)) {
    TRY_ASSIGN(made, create_two_way_strategic_patch(built_in->type, before, after));
    patch.body = std::move(made);
  } else {
    patch.type = PatchType::kMerge;
    patch.body = create_merge_patch(before, after);
  }
  return patch;
}

}  // namespace

void Setter::add_to(Flags& flags, std::string files_help, bool selector) {
  query.files.add_to(flags, std::move(files_help));
  flags.add("all", &query.all,
            "Select all resources, in the namespace of the specified resource types");
  flags.add("local", &local, "If true, the API server is not contacted: files alone are changed.");
  if (selector) {
    flags.add("selector", &query.label_selector, "Selector (label query) to filter on", 'l');
  }
  writer.add_to(flags);
}

Status Setter::prepare() {
  TRY(writer.prepare());
  if (local && writer.dry() && !writer.client_only()) {
    return failure("cannot specify --local and --dry-run=server - did you mean --dry-run=client?");
  }
  if (query.all && !query.label_selector.empty()) {
    return failure("cannot set --all and --selector at the same time");
  }
  return Status();
}

Status Setter::no_arguments_locally() const {
  if (!local || query.args.empty()) return Status();
  return failure(
      "error: you must specify resources by --filename when --local is set.\n"
      "Example resource specifications include:\n"
      "   '-f rsrc.yaml'\n   '--filename=rsrc.json'");
}

Result<std::vector<Found>> Setter::find(Invocation& in, std::vector<Status>* errors) {
  if (local) {
    TRY_ASSIGN(found, local_objects(query));
    for (Found& f : found) f.object = typed(f);
    return std::move(found);
  }
  TRY_ASSIGN(session, in.session());
  return find_objects(*session, query, errors);
}

Status Setter::change(Invocation& in, const Found& f, const Change& how) {
  Document after = f.object.clone();
  if (Status s = how(after); !s.ok()) {
    return bare_errors ? s : failure("error: " + object_name(f) + " " + s.message());
  }
  TRY_ASSIGN(patch, patch_between(f, f.object.root, after.root));
  if (patch.body.root.empty() && !also_unchanged) return Status();
  if (local || writer.client_only()) return writer.report(after.root, done_);
  TRY_ASSIGN(session, in.session());
  const std::string body = patch.body.root.empty() ? "{}" : to_json(patch.body.root);
  Result<Document> made = writer.patch(*session, *f.resource, f.ns, f.name, patch.type, body);
  if (!made.ok()) {
    return failed_.empty() ? made.status() : failure(failed_ + made.status().message());
  }
  return writer.report(made->root, done_);
}

Status Setter::change_all(Invocation& in, const std::vector<Found>& found,
                          std::vector<Status>* errors, const Change& how) {
  for (const Found& f : found) {
    if (Status s = change(in, f, how); !s.ok()) errors->push_back(std::move(s));
  }
  return combine(std::move(*errors));
}

Result<Value*> editable_pod_spec(Document& d) {
  const std::string path = pod_spec_path(d.root);
  if (!path.empty()) return &at(d, path);
  const std::string_view api = d.root["apiVersion"].as_string();
  const size_t slash = api.find('/');
  const std::string_view version = slash == api.npos ? api : api.substr(slash + 1);
  return failure("the object is not a pod or does not have a pod template: *" +
                 std::string(version) + "." + std::string(d.root["kind"].as_string()));
}

bool matches_wildcard(std::string_view name, std::string_view pattern) {
  size_t n = 0, p = 0, star = pattern.npos, from = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      from = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p, ++n;
    } else if (star != pattern.npos) {
      p = star + 1;
      n = ++from;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == pattern.npos;
}

std::vector<Value*> select_containers(Value& pod_spec, std::string_view pattern) {
  std::vector<Value*> out;
  for (const char* list : {"containers", "initContainers"}) {
    Value* all = pod_spec.find(list);
    if (!all) continue;
    for (Value& c : all->items()) {
      if (matches_wildcard(c["name"].as_string(), pattern)) out.push_back(&c);
    }
  }
  return out;
}

}  // namespace keles::kubectl
