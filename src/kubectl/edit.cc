// edit: an object in the user's editor, then the patch that the editing amounts to.
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "base/file.h"
#include "kubectl/print.h"
#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"

namespace keles::kubectl {
namespace {

constexpr char kIntroduction[] =
    "# Please edit the object below. Lines beginning with a '#' will be ignored,\n"
    "# and an empty file will abort the edit. If an error occurs while saving this file will be\n"
    "# reopened with the relevant failures.\n"
    "#\n";

std::string editor() {
  for (const char* name : {"KUBE_EDITOR", "EDITOR"}) {
    if (const char* value = std::getenv(name); value && *value) return value;
  }
  return "vi";
}

// The editor is a shell's words, as EDITOR always was; the file's name is one of its own.
Status run_editor(const std::string& path) {
  std::string command = editor() + " \"$1\"";
  std::string shell = "sh", option = "-c", name = path;
  char* argv[] = {shell.data(), option.data(), command.data(), shell.data(), name.data(), nullptr};
  pid_t child = 0;
  if (::posix_spawnp(&child, "sh", nullptr, nullptr, argv, environ) != 0) {
    return failure("unable to launch the editor \"" + editor() + "\"");
  }
  int how = 0;
  while (::waitpid(child, &how, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(how) && WEXITSTATUS(how) == 0) return Status();
  return failure("there was a problem with the editor \"" + editor() + "\"");
}

struct TemporaryFile {
  std::string path;
  bool keep = false;
  Status make() {
    const char* base = std::getenv("TMPDIR");
    path = std::string(base && *base ? base : "/tmp") + "/kubectl-edit-XXXXXX.yaml";
    int fd = ::mkstemps(path.data(), 5);
    if (fd < 0) return failure("cannot make a temporary file " + path);
    ::close(fd);
    return Status();
  }
  ~TemporaryFile() {
    if (!path.empty() && !keep) ::unlink(path.c_str());
  }
};

std::string without_comments(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == text.npos ? std::string_view() : text.substr(end + 1);
    if (!line.starts_with('#')) out += std::string(line) + "\n";
  }
  return out;
}

Result<ClientPatch> patch_between(const Found& f, const Value& before, const Value& after) {
  const KindDesc* built_in = find_kind(f.resource->api_version(), f.resource->kind);
  ClientPatch patch;
  for (const char* field : {"apiVersion", "kind"}) {
    if (!before[field].equals(after[field])) {
      return failure("At least one of apiVersion, kind and name was changed");
    }
  }
  if (!before["metadata"]["name"].equals(after["metadata"]["name"])) {
    return failure("At least one of apiVersion, kind and name was changed");
  }
  if (!built_in) {
    patch.type = PatchType::kMerge;
    patch.body = create_merge_patch(before, after);
    return patch;
  }
  TRY_ASSIGN(made, create_two_way_strategic_patch(built_in->type, before, after));
  patch.body = std::move(made);
  return patch;
}

struct EditFlags {
  std::string subresource;
  bool output_patch = false, save_config = false;

  void add_to(Flags& flags) {
    flags.add("output-patch", &output_patch, "Output the patch if the resource is edited.");
    flags.add("subresource", &subresource,
              "If specified, edit will operate on the subresource of the requested object.");
    flags.add("save-config", &save_config,
              "If true, the configuration of current object will be saved in its annotation.");
  }
};

// Until it is saved as the server wants it, or given up.
Status edit_one(Session& session, Writer& writer, const EditFlags& flags, const Found& f) {
  Document before = f.object.clone();
  if (Value* meta = before.root.find("metadata")) meta->erase("managedFields");
  std::string original = write_yaml(before.root), shown = original, notes;
  TemporaryFile file;
  TRY(file.make());
  for (;;) {
    TRY(write_file(file.path, kIntroduction + notes + shown, 0600));
    TRY(run_editor(file.path));
    TRY_ASSIGN(content, read_file(file.path, 8u << 20));
    std::string edited = without_comments(content);
    bool blank = edited.find_first_not_of(" \t\r\n") == edited.npos;
    if (edited == shown || blank) {
      if (notes.empty()) {
        print_error(blank ? "Edit cancelled, saved file was empty.\n"
                          : "Edit cancelled, no changes made.\n");
        return Status();
      }
      file.keep = true;
      return failure(
          "Edit cancelled, no valid changes were saved.\nA copy of your changes has been "
          "stored to \"" +
          file.path + "\"");
    }
    shown = edited;
    Status failed;
    Result<Document> after = parse_yaml(edited);
    if (!after.ok()) {
      failed = failure("The edited file had a syntax error: " + after.status().message());
    } else if (after->root.equals(before.root)) {
      print_error("Edit cancelled, no changes made.\n");
      return Status();
    } else {
      if (flags.save_config) annotate_last_applied(*after);
      Result<ClientPatch> patch = patch_between(f, before.root, after->root);
      failed = patch.status();
      if (patch.ok()) {
        const std::string body = to_json(patch->body.root);
        if (flags.output_patch) print("Patch: " + body + "\n");
        Result<Document> made =
            writer.patch(session, *f.resource, f.ns, f.name, patch->type, body, flags.subresource);
        if (made.ok()) return writer.report(made->root, "edited");
        failed = made.status();
      }
    }
    std::string why = describe_error(failed);
    print_error(why);
    // Without somebody to mend it there is no second try.
    if (!::isatty(STDIN_FILENO)) {
      file.keep = true;
      print_error("A copy of your changes has been stored to \"" + file.path + "\"\n");
      return silent(1);
    }
    notes = "# " + f.display() + " was not valid:\n# * ";
    for (char c : why) notes += c == '\n' ? std::string("\n# ") : std::string(1, c);
    notes += "\n#\n";
  }
}

}  // namespace

Status edit(Invocation& in) {
  Query q;
  EditFlags flags;
  Writer writer("kubectl-edit");
  q.files.add_to(in.flags, "to use to edit the resource");
  q.types_alone = true;
  writer.add_to(in.flags);
  flags.add_to(in.flags);
  TRY(in.parse());
  TRY(writer.prepare());
  if (writer.client_only()) return failure("--dry-run=client cannot be used with edit");
  q.args = in.args;
  q.subresource = flags.subresource;
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(found, find_objects(*session, q));
  if (found.empty()) {
    print_error("edit cancelled, no objects found\n");
    return Status();
  }
  std::vector<Status> errors;
  for (const Found& f : found) {
    Status s = edit_one(*session, writer, flags, f);
    if (!s.ok()) errors.push_back(s);
  }
  return combine(std::move(errors));
}

}  // namespace keles::kubectl
