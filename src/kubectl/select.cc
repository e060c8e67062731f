#include "kubectl/select.h"

#include <algorithm>

#include "base/text_parts.h"
#include "machinery/codec_json.h"
#include "machinery/schema.h"

namespace keles::kubectl {
namespace {

constexpr size_t kMaxPages = 100'000;

// "pods,deploy,all" -> resources, categories expanded, none twice.
Result<std::vector<const Resource*>> types_of(const Mapper& mapper, std::string_view words) {
  std::vector<const Resource*> out;
  auto add = [&out](const Resource* r) {
    if (std::find(out.begin(), out.end(), r) == out.end()) out.push_back(r);
  };
  for (std::string_view part : split_list(words)) {
    if (part.empty()) continue;
    const std::string word(part);
    std::vector<const Resource*> several = mapper.category(word);
    for (const Resource* r : several) add(r);
    if (!several.empty()) continue;
    TRY_ASSIGN(one, mapper.find(word));
    std::string warning = mapper.short_name_warning(word);
    if (!warning.empty()) print_error("Warning: " + warning + "\n");
    add(one);
  }
  return out;
}

class Builder {
 public:
  Builder(Session& session, const Query& query, const Mapper& mapper)
      : session_(session), q_(query), mapper_(mapper) {}

  Result<Selection> run() {
    if (!q_.files.files.empty()) {
      if (!q_.args.empty()) {
        return failure(
            "when paths, URLs, or stdin is provided as input, you may not specify a "
            "resource by arguments as well");
      }
      TRY_ASSIGN(targets, read_files(session_, q_.files));
      Selection out;
      out.single = targets.size() == 1;
      out.targets = std::move(targets);
      return out;
    }
    bool slashes = std::any_of(q_.args.begin(), q_.args.end(), has_slash);
    if (slashes) return pairs();
    if (q_.args.empty()) {
      return failure(
          "You must provide one or more resources by argument or filename.\n"
          "Example resource specifications include:\n"
          "   '-f rsrc.yaml'\n   '--filename=rsrc.json'\n"
          "   '<resource> <name>'\n   '<resource>'");
    }
    TRY_ASSIGN(types, types_of(mapper_, q_.args[0]));
    if (!q_.many_types && types.size() > 1) {
      return failure("you may only specify a single resource type");
    }
    return q_.args.size() > 1 ? names(types) : lists(types);
  }

 private:
  static bool has_slash(const std::string& s) { return s.find('/') != s.npos; }
  std::string ns_of(const Resource& r) const { return r.namespaced ? session_.ns() : ""; }
  Target named(const Resource& r, std::string name) const {
    Target t;
    t.resource = &r;
    t.ns = ns_of(r);
    t.name = std::move(name);
    return t;
  }

  Status names_allowed() const {
    if (!q_.label_selector.empty() || !q_.field_selector.empty()) {
      return failure("name cannot be provided when a selector is specified");
    }
    if (q_.all_namespaces) {
      return failure("a resource cannot be retrieved by name across all namespaces");
    }
    if (q_.all) return failure("name cannot be provided when a selector is specified");
    return Status();
  }

  Result<Selection> pairs() const {
    Selection out;
    TRY(names_allowed());
    for (const std::string& arg : q_.args) {
      if (!has_slash(arg)) {
        return failure(
            "there is no need to specify a resource type as a separate argument when passing "
            "arguments in resource/name form (e.g. 'kubectl get resource/<resource_name>' instead "
            "of 'kubectl get resource resource/<resource_name>'");
      }
      size_t slash = arg.find('/');
      std::string name = arg.substr(slash + 1);
      if (slash == 0 || name.empty() || has_slash(name)) {
        return failure("arguments in resource/name form must have a single resource and name");
      }
      TRY(check_path_segment("resource", name));
      TRY_ASSIGN(types, types_of(mapper_, arg.substr(0, slash)));
      for (const Resource* r : types) out.targets.push_back(named(*r, name));
    }
    out.single = out.targets.size() == 1;
    return out;
  }

  Result<Selection> names(const std::vector<const Resource*>& types) const {
    Selection out;
    TRY(names_allowed());
    for (size_t i = 1; i < q_.args.size(); ++i) TRY(check_path_segment("resource", q_.args[i]));
    for (const Resource* r : types) {
      for (size_t i = 1; i < q_.args.size(); ++i) out.targets.push_back(named(*r, q_.args[i]));
    }
    out.single = out.targets.size() == 1;
    return out;
  }

  Result<Selection> lists(const std::vector<const Resource*>& types) const {
    if (!q_.types_alone && !q_.all && q_.label_selector.empty() && q_.field_selector.empty()) {
      return failure("resource(s) were provided, but no name was specified");
    }
    Selection out;
    for (const Resource* r : types) {
      Target t = named(*r, "");
      if (q_.all_namespaces) t.ns.clear();
      out.targets.push_back(std::move(t));
    }
    return out;
  }

  Session& session_;
  const Query& q_;
  const Mapper& mapper_;
};

Status add_document(Session& session, const Mapper& mapper, Document object,
                    const std::string& source, std::vector<Target>* out) {
  Value& root = object.root;
  std::string api_version(root["apiVersion"].as_string()), kind(root["kind"].as_string());
  if (!root.is_map() || kind.empty()) {
    return failure("unable to decode \"" + source + "\": Object 'Kind' is missing in '" +
                   to_json(root).substr(0, 2000) + "'");
  }
  if (kind.ends_with("List") && root["items"].is_list()) {
    for (const Value& item : root["items"].items()) {
      Document one;
      one.root = deep_copy(one.arena, item);
      TRY(add_document(session, mapper, std::move(one), source, out));
    }
    return Status();
  }
  Target t;
  t.resource = mapper.find_kind(api_version, kind);
  t.name = root["metadata"]["name"].as_string();
  t.ns = root["metadata"]["namespace"].as_string();
  t.source = source;
  if (!t.resource) {
    return failure("resource mapping not found for name: \"" + t.name + "\" namespace: \"" + t.ns +
                   "\" from \"" + source + "\": no matches for kind \"" + kind +
                   "\" in version \"" + api_version + "\"\nensure CRDs are installed first");
  }
  if (!t.resource->namespaced) {
    t.ns.clear();
  } else if (t.ns.empty()) {
    t.ns = session.ns();
    Value& meta = root.get_or_add(object.arena, "metadata");
    meta.set(object.arena, "namespace", Value::string(object.arena.copy(t.ns)));
  } else if (session.namespace_given() && t.ns != session.ns()) {
    return failure("the namespace from the provided object \"" + t.ns +
                   "\" does not match the namespace \"" + session.ns() +
                   "\". You must pass '--namespace=" + t.ns + "' to perform this operation.");
  }
  t.object = std::move(object);
  out->push_back(std::move(t));
  return Status();
}

// A page's objects.
Status take_apart(const Mapper& mapper, const Target& target, Document page,
                  std::vector<Found>* out) {
  auto add = [&](Document d) {
    Found f;
    const Value& meta = d.root["metadata"];
    f.name = meta["name"].as_string();
    f.ns = meta["namespace"].as_string();
    const Resource* own =
        mapper.find_kind(d.root["apiVersion"].as_string(), d.root["kind"].as_string());
    f.resource = own ? own : target.resource;
    f.object = std::move(d);
    out->push_back(std::move(f));
  };
  if (!target.name.empty()) {
    add(std::move(page));
    return Status();
  }
  // Items of typed lists say no kind of their own.
  std::string kind(page.root["kind"].as_string()), api(page.root["apiVersion"].as_string());
  if (kind.ends_with("List")) kind.resize(kind.size() - 4);
  for (const Value& item : page.root["items"].items()) {
    Document d;
    d.root = Value::map();
    auto text = [&d](const std::string& s) { return Value::string(d.arena.copy(s)); };
    if (item["apiVersion"].as_string().empty()) {
      d.root.set(d.arena, "apiVersion", text(api));
      d.root.set(d.arena, "kind", text(kind));
    }
    for (const Member& m : item.members()) {
      d.root.set(d.arena, d.arena.copy(m.key()), deep_copy(d.arena, m.value));
    }
    add(std::move(d));
  }
  return Status();
}

// A kind that no cluster was asked about.
Resource resource_of(const Value& object) {
  const std::string_view api = object["apiVersion"].as_string();
  const size_t slash = api.find('/');
  Resource r;
  r.group = slash == api.npos ? "" : api.substr(0, slash);
  r.version = slash == api.npos ? api : api.substr(slash + 1);
  r.kind = object["kind"].as_string();
  if (const KindDesc* built_in = find_kind(api, r.kind)) {
    r.plural = built_in->plural;
    r.namespaced = built_in->namespaced;
  }
  return r;
}

Status add_local(Document object, const std::string& source, std::vector<Found>* out) {
  const Value& root = object.root;
  const std::string_view kind = root["kind"].as_string();
  if (!root.is_map() || kind.empty()) {
    return failure("unable to decode \"" + source + "\": Object 'Kind' is missing in '" +
                   to_json(root).substr(0, 2000) + "'");
  }
  if (kind.ends_with("List") && root["items"].is_list()) {
    for (const Value& item : root["items"].items()) {
      Document one;
      one.root = deep_copy(one.arena, item);
      TRY(add_local(std::move(one), source, out));
    }
    return Status();
  }
  Found f;
  f.own = std::make_shared<const Resource>(resource_of(root));
  f.resource = f.own.get();
  f.ns = root["metadata"]["namespace"].as_string();
  f.name = root["metadata"]["name"].as_string();
  f.object = std::move(object);
  out->push_back(std::move(f));
  return Status();
}

}  // namespace

Result<std::vector<Found>> local_objects(const Query& query) {
  if (query.files.files.empty()) {
    return failure(
        "You must provide one or more resources by argument or filename.\n"
        "Example resource specifications include:\n"
        "   '-f rsrc.yaml'\n   '--filename=rsrc.json'\n"
        "   '<resource> <name>'\n   '<resource>'");
  }
  TRY_ASSIGN(documents, read_documents(query.files));
  std::vector<Found> out;
  for (FileDocument& d : documents) TRY(add_local(std::move(d.object), d.source, &out));
  return out;
}

Result<std::vector<Target>> read_files(Session& session, const FileFlags& files) {
  TRY_ASSIGN(documents, read_documents(files));
  TRY_ASSIGN(mapper, session.mapper());
  std::vector<Target> out;
  for (FileDocument& d : documents) {
    TRY(add_document(session, *mapper, std::move(d.object), d.source, &out));
  }
  return out;
}

Result<Selection> select(Session& session, const Query& query) {
  TRY_ASSIGN(mapper, session.mapper());
  return Builder(session, query, *mapper).run();
}

std::string list_parameters(const Query& query) {
  std::string q = query.parameters;
  add_query(q, "labelSelector", query.label_selector);
  add_query(q, "fieldSelector", query.field_selector);
  return q;
}

// A list that the server does not understand is named with what it was asked for.
static Status explain_list_error(const Query& q, const Target& t, const Status& s) {
  if (!t.name.empty() || !is_server_error(s)) return s;
  if (!s.is(Reason::kBadRequest) && !s.is(Reason::kNotFound)) return s;
  std::string which = "\"" + t.resource->group + "/" + t.resource->version +
                      ", Resource=" + t.resource->plural + "\"";
  if (q.label_selector.empty() && q.field_selector.empty()) {
    return s.with_prefix("Unable to list " + which);
  }
  return s.with_prefix("Unable to find " + which + " that match label selector \"" +
                       q.label_selector + "\", field selector \"" + q.field_selector + "\"");
}

Result<std::vector<Document>> fetch(Session& session, const Query& query, const Target& target) {
  std::vector<Document> pages;
  std::string next;
  do {
    Call c("GET", target.resource->path(target.ns, target.name, query.subresource));
    c.accept = query.accept;
    c.query = target.name.empty() ? list_parameters(query) : query.parameters;
    if (target.name.empty() && query.chunk > 0) {
      add_query(c.query, "limit", std::to_string(query.chunk));
      add_query(c.query, "continue", next);
    }
    Result<Document> answer = session.call(std::move(c));
    if (!answer.ok()) return explain_list_error(query, target, answer.status());
    Document page = std::move(*answer);
    next = page.root["metadata"]["continue"].as_string();
    pages.push_back(std::move(page));
  } while (!next.empty() && pages.size() < kMaxPages);
  return pages;
}

Result<std::vector<Found>> find_objects(Session& session, const Query& query,
                                        std::vector<Status>* errors) {
  TRY_ASSIGN(selection, select(session, query));
  return find_objects(session, query, selection, errors);
}

Result<std::vector<Found>> find_objects(Session& session, const Query& query,
                                        const Selection& selection, std::vector<Status>* errors) {
  TRY_ASSIGN(mapper, session.mapper());
  std::vector<Found> out;
  for (const Target& t : selection.targets) {
    Result<std::vector<Document>> pages = fetch(session, query, t);
    if (!pages.ok()) {
      if (!errors) return pages.status();
      errors->push_back(pages.status());
      continue;
    }
    for (Document& page : *pages) TRY(take_apart(*mapper, t, std::move(page), &out));
  }
  return out;
}

}  // namespace keles::kubectl
