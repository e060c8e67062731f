// diff: what apply would change, as the `diff` program (or KUBECTL_EXTERNAL_DIFF) shows it.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "base/file.h"
#include "base/process.h"
#include "base/temporary_directory.h"
#include "kubectl/print.h"
#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/labels.h"

namespace keles::kubectl {
namespace {

// A Secret's values are not shown: only whether they differ.
void mask(Document& from, Document& to) {
  Value* a = from.root.find("data");
  Value* b = to.root.find("data");
  auto hide = [](Document& d, Value* map, std::string_view key, std::string_view with) {
    if (map && map->find(key)) map->set(d.arena, d.arena.copy(key), Value::string(with));
  };
  std::vector<std::string> keys;
  for (Value* map : {a, b}) {
    if (!map) continue;
    for (const Member& m : map->members()) keys.emplace_back(m.key());
  }
  for (const std::string& key : keys) {
    const Value* x = a ? a->find(key) : nullptr;
    const Value* y = b ? b->find(key) : nullptr;
    bool differ = x && y && !x->equals(*y) && !x->as_string().starts_with("***");
    bool seen = x && x->as_string().starts_with("***");
    if (seen) continue;
    hide(from, a, key, differ ? "*** (before)" : "***");
    hide(to, b, key, differ ? "*** (after)" : "***");
  }
}

std::string text_of(const Document& d, bool managed_fields) {
  if (d.root.is_null()) return "";
  Document copy = d.clone();
  if (Value* meta = copy.root.find("metadata"); meta && !managed_fields)
    meta->erase("managedFields");
  return write_yaml(copy.root);
}

Task<Result<int>> run_differ(Context ctx, std::vector<std::string> argv) {
  ProcessOptions options;
  options.argv = std::move(argv);
  auto process = Process::start(ctx.loop(), std::move(options));
  if (!process.ok()) co_return process.status();
  co_return co_await (*process)->wait(ctx);
}

// The exit code of the program that compares.
Result<int> compare(Invocation& in) {
  FileFlags files;
  std::string selector, manager = "kubectl-client-side-apply";
  bool managed_fields = false, server_side = false, force_conflicts = false;
  files.add_to(in.flags, "contains the configuration to diff");
  in.flags.add("selector", &selector, "Selector (label query) to filter on", 'l');
  in.flags.add("field-manager", &manager, "Name of the manager used to track field ownership.");
  in.flags.add("server-side", &server_side,
               "If true, apply runs in the server instead of the client.");
  in.flags.add("force-conflicts", &force_conflicts,
               "If true, server-side apply will force the changes against conflicts.");
  in.flags.add("show-managed-fields", &managed_fields,
               "If true, include managed fields in the diff.");
  TRY(in.parse());
  if (!in.args.empty()) return in.usage("Unexpected args: [" + in.args[0] + "]");
  if (force_conflicts && !server_side) {
    return failure("--force-conflicts only works with --server-side");
  }
  if (server_side && !in.flags.given("field-manager")) manager = "kubectl";
  if (files.files.empty()) return failure("must specify one of -f and -k");
  TRY_ASSIGN(filter, Selector::parse(selector));
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(targets, read_files(*session, files));
  TRY_ASSIGN(live_directory, TemporaryDirectory::make("LIVE"));
  TRY_ASSIGN(merged_directory, TemporaryDirectory::make("MERGED"));
  // Lays an object down twice, as it is (null: it is not) and as it would be.
  auto keep = [&](const Target& t, const Document* live, Document& merged) -> Status {
    Document before = live ? live->clone() : Document();
    if (t.resource->group.empty() && t.resource->kind == "Secret") mask(before, merged);
    std::string name = (t.resource->group.empty() ? "" : t.resource->group + ".") +
                       t.resource->version + "." + t.resource->kind + "." + t.ns + "." + t.name;
    for (char& ch : name) ch = ch == '/' || ch == ':' ? '-' : ch;
    TRY(write_file(live_directory.path() + "/" + name, text_of(before, managed_fields), 0600));
    return write_file(merged_directory.path() + "/" + name, text_of(merged, managed_fields), 0600);
  };
  for (Target& t : targets) {
    if (!filter.matches(t.object->root["metadata"]["labels"])) continue;
    Result<Document> live = session->call(Call("GET", t.resource->path(t.ns, t.name)));
    bool there = live.ok();
    if (!there && !live.status().is(Reason::kNotFound)) return live.status();
    Call c;
    c.query = "dryRun=All&fieldManager=" + escape_query(manager);
    if (server_side) {
      c.method = "PATCH";
      c.path = t.resource->path(t.ns, t.name);
      add_query(c.query, "force", force_conflicts ? "true" : "false");
      c.content_type = patch_media_type(PatchType::kApply);
      c.body = to_json(t.object->root);
      TRY_ASSIGN(merged, session->call(std::move(c)));
      TRY(keep(t, there ? &*live : nullptr, merged));
      continue;
    }
    // The annotation that apply would leave is its own affair: the live one stays as it is.
    Value& annotations = at(*t.object, "metadata.annotations");
    if (!annotations.is_map()) annotations = Value::map();
    annotations.erase(kLastApplied);
    if (there) {
      TRY_ASSIGN(patch, client_side_patch(t, live->root));
      c.method = "PATCH";
      c.path = t.resource->path(t.ns, t.name);
      c.content_type = patch_media_type(patch.type);
      c.body = to_json(patch.body.root);
    } else {
      c.method = "POST";
      c.path = t.resource->path(t.ns, "");
      c.content_type = "application/json";
      c.body = to_json(t.object->root);
    }
    TRY_ASSIGN(merged, session->call(std::move(c)));
    TRY(keep(t, there ? &*live : nullptr, merged));
  }
  std::vector<std::string> argv = {"diff", "-u", "-N"};
  if (const char* own = std::getenv("KUBECTL_EXTERNAL_DIFF"); own && *own) {
    argv.clear();
    std::string_view rest = own;
    while (!rest.empty()) {
      size_t blank = rest.find(' ');
      if (blank != 0) argv.emplace_back(rest.substr(0, blank));
      rest = blank == rest.npos ? std::string_view() : rest.substr(blank + 1);
    }
  }
  argv.push_back(live_directory.path());
  argv.push_back(merged_directory.path());
  std::fflush(stdout);
  Result<int> code = session->await(run_differ(session->context(), argv));
  if (!code.ok()) return failure(code.status().message());
  return *code;
}

}  // namespace

// 0: nothing differs; 1: something does; more: it went wrong.
Status diff(Invocation& in) {
  Result<int> code = compare(in);
  if (!code.ok()) {
    if (exit_code_of(code.status()) == 0) return code.status();
    print_error(describe_error(code.status()));
    return silent(exit_code_of(code.status()) + 1);
  }
  if (*code <= 1) return *code == 0 ? Status() : silent(1);
  return failure("exit status " + std::to_string(*code), *code);
}

}  // namespace keles::kubectl
