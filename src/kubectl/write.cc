#include "kubectl/write.h"

#include "machinery/codec_json.h"

namespace keles::kubectl {

void Writer::add_to(Flags& flags) {
  output_.add_to(flags);
  flags.add(
      "dry-run", &dry_text_,
      "Must be \"none\", \"server\", or \"client\". If client strategy, only print the object "
      "that would be sent, without sending it. If server strategy, submit server-side "
      "request without persisting the resource.");
  flags.set_bare_value("dry-run", "unchanged");
  flags.add("field-manager", &field_manager_, "Name of the manager used to track field ownership.");
  flags.add("validate", &validate_,
            "Must be one of: strict (or true), warn, ignore (or false): what the server does about "
            "unknown and duplicate fields.");
  flags.set_bare_value("validate", "strict");
}

void Writer::add_save_config(Flags& flags, bool in_dry_runs) {
  saved_in_dry_runs_ = in_dry_runs;
  flags.add("save-config", &save_config_,
            "If true, the configuration of current object will be saved in its annotation. "
            "Otherwise, the annotation will be unchanged.");
}

Status Writer::prepare() {
  if (dry_text_ == "none" || dry_text_ == "false") {
    dry_ = Dry::kNone;
  } else if (dry_text_ == "client" || dry_text_ == "server") {
    dry_ = dry_text_ == "client" ? Dry::kClient : Dry::kServer;
  } else if (dry_text_ == "unchanged") {
    dry_ = Dry::kClient;
    print_error("W: --dry-run is deprecated and can be replaced with --dry-run=client.\n");
  } else {
    return failure("Invalid dry-run value (" + dry_text_ +
                   "). Must be \"none\", \"server\", or \"client\".");
  }
  if (validate_ == "true" || validate_ == "strict") {
    validate_ = "Strict";
  } else if (validate_ == "warn") {
    validate_ = "Warn";
  } else if (validate_ == "false" || validate_ == "ignore") {
    validate_ = "Ignore";
  } else {
    return failure("invalid - \"" + validate_ +
                   "\" is not one of: true, strict, warn, false, ignore");
  }
  TRY_ASSIGN(printer, ObjectPrinter::make(output_, false));
  printer_ = std::move(printer);
  return Status();
}

std::string Writer::parameters() const { return parameters_as(field_manager_); }

std::string Writer::parameters_as(std::string_view manager) const {
  std::string q;
  if (dry_ == Dry::kServer) add_query(q, "dryRun", "All");
  add_query(q, "fieldManager", manager);
  add_query(q, "fieldValidation", validate_);
  return q;
}

Result<Document> Writer::create(Session& s, const Resource& r, const std::string& ns,
                                const Document& object) const {
  Document sent = object.clone();
  if (save_config_ && (saved_in_dry_runs_ || !client_only())) annotate_typed(sent);
  if (client_only()) return sent;
  Call c("POST", r.path(ns, ""));
  c.query = parameters();
  c.content_type = "application/json";
  c.body = to_json(sent.root);
  return s.call(std::move(c));
}

Result<Document> Writer::patch(Session& s, const Resource& r, const std::string& ns,
                               const std::string& name, PatchType type, const std::string& body,
                               std::string_view subresource) const {
  Call c("PATCH", r.path(ns, name, subresource));
  c.query = parameters();
  c.content_type = patch_media_type(type);
  c.body = body;
  return s.call(std::move(c));
}

Status Writer::report(const Value& object, std::string_view operation) {
  if (printer_) {
    TRY_ASSIGN(text, printer_->print(object));
    print(text);
    return Status();
  }
  std::string line = display_of(object) + " " + std::string(operation);
  if (dry_ != Dry::kNone) line += dry_ == Dry::kClient ? " (dry run)" : " (server dry run)";
  print(line + "\n");
  return Status();
}

Value& at(Document& d, std::string_view path) {
  Value* v = &d.root;
  while (!path.empty()) {
    size_t dot = path.find('.');
    if (!v->is_map()) *v = Value::map();
    v = &v->get_or_add(d.arena, d.arena.copy(path.substr(0, dot)));
    path = dot == path.npos ? std::string_view() : path.substr(dot + 1);
  }
  return *v;
}

Value text(Document& d, std::string_view s) { return Value::string(d.arena.copy(s)); }
void put(Document& d, std::string_view path, std::string_view s) { at(d, path) = text(d, s); }
void put(Document& d, std::string_view path, int64_t number) { at(d, path) = Value(number); }

Document new_object(std::string_view api_version, std::string_view kind, std::string_view name,
                    std::string_view ns) {
  Document d;
  put(d, "apiVersion", api_version);
  put(d, "kind", kind);
  put(d, "metadata.name", name);
  if (!ns.empty()) put(d, "metadata.namespace", ns);
  return d;
}

void annotate_last_applied(Document& d) {
  Value& annotations = at(d, "metadata.annotations");
  if (!annotations.is_map()) annotations = Value::map();
  annotations.erase(kLastApplied);
  std::string own;
  write_json(own, d.root, true);
  at(d, "metadata.annotations").set(d.arena, kLastApplied, text(d, own + "\n"));
}

void annotate_typed(Document& d) {
  Value* annotations =
      d.root.find("metadata") ? d.root.find("metadata")->find("annotations") : nullptr;
  if (annotations) annotations->erase(kLastApplied);
  std::string own;
  const KindDesc* kind = find_kind(d.root["apiVersion"].as_string(), d.root["kind"].as_string());
  if (kind) {
    write_json(own, *kind, d.root);
  } else {
    write_json(own, d.root, true);
  }
  at(d, "metadata.annotations").set(d.arena, kLastApplied, text(d, own + "\n"));
}

Status raw_request(Session& s, std::string method, const std::string& raw, const FileFlags& file) {
  if (!raw.starts_with('/')) {
    return failure("--raw must be a valid URL path: parse \"" + raw +
                   "\": invalid URI for request");
  }
  if (file.files.size() > 1) return failure("--raw can only use a single local file or stdin");
  if (file.recursive) return failure("--raw and --recursive are mutually exclusive");
  size_t question = raw.find('?');
  Call c(std::move(method), raw.substr(0, question));
  if (question != raw.npos) c.query = raw.substr(question + 1);
  if (!file.files.empty()) {
    TRY_ASSIGN(documents, read_documents(file));
    if (documents.size() != 1) return failure("--raw takes one object");
    c.content_type = "application/json";
    c.body = to_json(documents[0].object.root);
  }
  TRY_ASSIGN(text, s.call_text(std::move(c)));
  print(text);
  return Status();
}

Result<std::string> one_name(const Invocation& in, size_t most) {
  int dash = in.flags.arguments_before_dash();
  size_t n = dash < 0 ? in.args.size() : static_cast<size_t>(dash);
  if (n == 0 || n > most) {
    return failure("exactly one NAME is required, got " + std::to_string(n) + "\nSee 'kubectl " +
                   in.command().name + " -h' for help and examples");
  }
  return in.args[0];
}

}  // namespace keles::kubectl
