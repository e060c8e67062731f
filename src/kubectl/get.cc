#include <algorithm>
#include <cstdio>

#include "kubectl/print.h"
#include "kubectl/select.h"
#include "kubectl/sort.h"
#include "kubectl/verbs.h"
#include "kubectl/watch.h"

namespace keles::kubectl {
namespace {

constexpr char kTableAccept[] =
    "application/json;as=Table;v=v1;g=meta.k8s.io,"
    "application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";

struct GetFlags {
  Query query;
  OutputFlags output;
  TableOptions table;
  std::string sort_by, raw;
  bool watch = false, watch_only = false, watch_events = false, ignore_not_found = false;
  bool show_kind = false, no_headers = false;

  void add_to(Flags& flags) {
    output.add_to(flags);
    query.files.add_to(flags, "identifying the resource to get from a server.");
    flags.add("selector", &query.label_selector, "Selector (label query) to filter on", 'l');
    flags.add("field-selector", &query.field_selector, "Selector (field query) to filter on");
    flags.add("all-namespaces", &query.all_namespaces,
              "If present, list the requested object(s) across all namespaces.", 'A');
    flags.add("subresource", &query.subresource,
              "If specified, gets the subresource of the requested object.");
    flags.add("chunk-size", &query.chunk,
              "Return large lists in chunks rather than all at once. 0 to disable.");
    flags.add("watch", &watch, "After listing/getting the requested object, watch for changes.",
              'w');
    flags.add("watch-only", &watch_only,
              "Watch for changes to the requested object(s), without listing/getting first.");
    flags.add("output-watch-events", &watch_events,
              "Output watch event objects when --watch or --watch-only is used.");
    flags.add("ignore-not-found", &ignore_not_found,
              "If the requested object does not exist the command will return exit code 0.");
    flags.add("show-labels", &table.show_labels,
              "When printing, show all labels as the last column");
    flags.add("label-columns", &table.label_columns,
              "Accepts a comma separated list of labels that are going to be presented as columns.",
              'L');
    flags.add("show-kind", &show_kind,
              "If present, list the resource type for the requested object(s).");
    flags.add("no-headers", &no_headers,
              "When using the default output format, don't print headers");
    flags.add("sort-by", &sort_by,
              "If non-empty, sort list types using this field specification (e.g. "
              "'{.metadata.name}').");
    flags.add("raw", &raw, "Raw URI to request from the server.");
  }
};

TableOptions table_options(const GetFlags& f, const Resource& r, bool with_kind) {
  TableOptions o = f.table;
  o.wide = f.output.output == "wide";
  o.headers = !f.no_headers;
  o.with_namespace = f.query.all_namespaces && r.namespaced;
  if (with_kind || f.show_kind) o.kind_prefix = r.type_name();
  return o;
}

// --- tables
// ---------------------------------------------------------------------------------------

struct Pages {
  const Resource* resource;
  std::vector<Document> pages;
};

Status add_rows(const GetFlags& f, const std::vector<Document>& pages, TablePrinter* printer) {
  if (f.sort_by.empty()) {
    for (const Document& page : pages) printer->add(page.root);
    return Status();
  }
  std::vector<const Value*> rows, objects;
  for (const Document& page : pages) {
    for (const Value& row : page.root["rows"].items()) {
      rows.push_back(&row);
      objects.push_back(&row["object"]);
    }
  }
  TRY_ASSIGN(order, sorted_by(objects, f.sort_by));
  for (size_t i : order) printer->add_row(pages[0].root, *rows[i]);
  return Status();
}

Status get_tables(Session& session, GetFlags& f) {
  if (!f.sort_by.empty()) {
    f.query.parameters = "includeObject=Object";
    f.query.chunk = 0;
  }
  f.query.accept = kTableAccept;
  TRY_ASSIGN(selection, select(session, f.query));
  std::vector<Pages> found;
  std::vector<Status> errors;
  for (const Target& t : selection.targets) {
    Result<std::vector<Document>> pages = fetch(session, f.query, t);
    if (!pages.ok()) {
      if (!f.ignore_not_found || !pages.status().is(Reason::kNotFound)) {
        errors.push_back(pages.status());
      }
    } else if (!found.empty() && found.back().resource == t.resource) {
      for (Document& d : *pages) found.back().pages.push_back(std::move(d));
    } else {
      found.push_back({t.resource, std::move(*pages)});
    }
  }
  bool with_kind = found.size() > 1;
  bool any = false, all_namespaced = !f.query.all_namespaces;
  for (const Pages& one : found) {
    TablePrinter printer(table_options(f, *one.resource, with_kind));
    TRY(add_rows(f, one.pages, &printer));
    all_namespaced = all_namespaced && one.resource->namespaced;
    std::string text = printer.take();
    if (text.empty()) continue;
    if (any && !f.no_headers) print("\n");
    print(text);
    any = true;
  }
  if (!any && errors.empty() && !f.ignore_not_found) {
    print_error(all_namespaced ? "No resources found in " + session.ns() + " namespace.\n"
                               : "No resources found\n");
  }
  return combine(std::move(errors));
}

// --- objects
// --------------------------------------------------------------------------------------

Status get_objects(Session& session, GetFlags& f, ObjectPrinter printer) {
  TRY_ASSIGN(selection, select(session, f.query));
  std::vector<Status> errors;
  Result<std::vector<Found>> found = find_objects(session, f.query, selection, &errors);
  if (!found.ok()) return found.status();
  if (f.ignore_not_found) {
    std::erase_if(errors, [](const Status& s) { return s.is(Reason::kNotFound); });
    if (found->empty() && errors.empty() && selection.single) return Status();
  }
  if (selection.single) {
    if (!errors.empty()) return combine(std::move(errors));
    TRY_ASSIGN(text, printer.print((*found)[0].object.root));
    print(text);
    return Status();
  }
  std::vector<const Value*> objects;
  for (const Found& one : *found) objects.push_back(&one.object.root);
  if (!f.sort_by.empty()) {
    TRY_ASSIGN(order, sorted_by(objects, f.sort_by));
    std::vector<const Value*> sorted;
    for (size_t i : order) sorted.push_back(objects[i]);
    objects = std::move(sorted);
  }
  Document list;
  list.root = Value::map();
  list.root.set(list.arena, "apiVersion", Value::string("v1"));
  Value& items = list.root.set(list.arena, "items", Value::list());
  for (const Value* o : objects) items.append(list.arena, *o);
  list.root.set(list.arena, "kind", Value::string("List"));
  Value& meta = list.root.set(list.arena, "metadata", Value::map());
  meta.set(list.arena, "resourceVersion", Value::string(""));
  TRY_ASSIGN(text, printer.print(list.root));
  print(text);
  return combine(std::move(errors));
}

// --- watch
// ----------------------------------------------------------------------------------------

class Watcher {
 public:
  Watcher(Session& session, GetFlags& f) : session_(session), f_(f) {}

  Status run(std::optional<ObjectPrinter> printer) {
    printer_ = std::move(printer);
    f_.query.many_types = false;
    if (!printer_) f_.query.accept = kTableAccept;
    if (!f_.sort_by.empty()) {
      print_error("warning: --watch requested, --sort-by will be ignored\n");
    }
    TRY_ASSIGN(selection, select(session_, f_.query));
    if (selection.targets.size() != 1) {
      return failure("you may only specify a single resource type");
    }
    target_ = std::move(selection.targets[0]);
    table_.emplace(table_options(f_, *target_.resource, false));
    Result<std::vector<Document>> pages = fetch(session_, f_.query, target_);
    if (pages.status().is(Reason::kNotFound) && f_.ignore_not_found) return Status();
    if (!pages.ok()) return pages.status();
    if (!f_.watch_only) {
      for (const Document& page : *pages) TRY(show_page(page.root));
      flush();
    }
    return follow(revision_of(pages->back().root));
  }

 private:
  std::string revision_of(const Value& page) const {
    if (target_.name.empty() || printer_) {
      return std::string(page["metadata"]["resourceVersion"].as_string());
    }
    return std::string(page["rows"].at(0)["object"]["metadata"]["resourceVersion"].as_string());
  }

  Status show(const Value& object, std::string_view event) {
    std::string_view shown = f_.watch_events ? event : std::string_view();
    if (!printer_) {
      table_->add(object, shown);
      return Status();
    }
    Document wrapped;
    const Value* what = &object;
    if (f_.watch_events) {
      wrapped.root = Value::map();
      wrapped.root.set(wrapped.arena, "type", Value::string(event));
      wrapped.root.set(wrapped.arena, "object", object);
      what = &wrapped.root;
    }
    TRY_ASSIGN(text, printer_->print(*what));
    kubectl::print(text);
    return Status();
  }

  Status show_page(const Value& page) {
    if (!printer_ || !target_.name.empty()) return show(page, "ADDED");
    for (const Value& item : page["items"].items()) {
      Document d;
      d.root = Value::map();
      std::string_view kind = page["kind"].as_string();
      d.root.set(d.arena, "apiVersion", page["apiVersion"]);
      d.root.set(d.arena, "kind", Value::string(kind.substr(0, kind.size() - 4)));
      for (const Member& m : item.members()) d.root.set(d.arena, m.key(), m.value);
      TRY(show(d.root, "ADDED"));
    }
    return Status();
  }

  void flush() {
    if (!printer_) kubectl::print(table_->take());
    std::fflush(stdout);
  }

  Status follow(const std::string& revision) {
    Query q = f_.query;
    if (!target_.name.empty()) {
      if (!q.field_selector.empty()) q.field_selector += ",";
      q.field_selector += "metadata.name=" + target_.name;
    }
    Call c("GET", target_.resource->path(target_.ns, ""));
    c.accept = f_.query.accept;
    c.query = list_parameters(q);
    add_query(c.query, "resourceVersion", revision);
    WatchHandler handler;
    handler.event = [this](std::string_view type, const Value& object) {
      return show(object, type);
    };
    handler.idle = [this] { flush(); };
    return follow_watch(session_, std::move(c), handler);
  }

  Session& session_;
  GetFlags& f_;
  Target target_;
  std::optional<ObjectPrinter> printer_;
  std::optional<TablePrinter> table_;
};

Status get_raw(Session& session, const std::string& raw) {
  size_t question = raw.find('?');
  Call c("GET", raw.substr(0, question));
  if (question != raw.npos) c.query = raw.substr(question + 1);
  c.accept = "application/json, */*";
  TRY_ASSIGN(text, session.call_text(std::move(c)));
  print(text);
  return Status();
}

}  // namespace

Status get(Invocation& in) {
  GetFlags f;
  f.query.types_alone = true;
  f.add_to(in.flags);
  TRY(in.parse());
  f.query.args = in.args;
  if (!f.raw.empty()) {
    if (!in.args.empty()) return in.usage("arguments may not be passed when --raw is specified");
    TRY_ASSIGN(session, in.session());
    return get_raw(*session, f.raw);
  }
  if (in.args.empty() && f.query.files.files.empty()) {
    print_error(
        "You must specify the type of resource to get. Use \"kubectl api-resources\" for a "
        "complete list of supported resources.\n\n");
    return in.usage(
        "Required resource not specified.\nUse \"kubectl explain <resource>\" for a detailed "
        "description of that resource (e.g. kubectl explain pods).");
  }
  TRY_ASSIGN(printer, ObjectPrinter::make(f.output, true, !f.no_headers));
  TRY_ASSIGN(session, in.session());
  if (f.watch_events && !f.watch && !f.watch_only) {
    return in.usage("--output-watch-events option can only be used with --watch or --watch-only");
  }
  if (f.watch || f.watch_only) return Watcher(*session, f).run(std::move(printer));
  if (printer) return get_objects(*session, f, std::move(*printer));
  return get_tables(*session, f);
}

}  // namespace keles::kubectl
