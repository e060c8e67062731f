#include "keles/store_backup.h"

#include <cstdio>
#include <utility>

#include "client/https_client.h"
#include "client/kubeconfig.h"
#include "keles/runtime.h"
#include "machinery/status_codec.h"
#include "store/backup.h"
#include "store/maintenance.h"

namespace keles {
namespace {

constexpr char kBackupPath[] = "/keles/store/backup";

// What came with a failed answer, as the server's Status.
Task<Status> failure(Context ctx, net::ResponseStream* answer) {
  std::string body;
  while (body.size() < 1u << 20) {
    auto piece = co_await answer->read(ctx);
    if (!piece.ok() || piece->empty()) break;
    body += *piece;
  }
  co_return status_from_body(body, answer->status());
}

Task<Status> backup_through_server(Context ctx, BackupSource from, std::string to) {
  KubeconfigChoice choice;
  choice.path = from.kubeconfig;
  choice.context = from.context;
  auto config = load_client_config(choice);
  if (!config.ok()) co_return config.status();
  auto file = NewFile::create(to);
  if (!file.ok()) co_return file.status();
  HttpsClient client(ctx.loop(), *config);
  net::Headers headers;
  auto answer = co_await client.raw_stream(ctx, "GET", kBackupPath, "", std::move(headers), "");
  if (!answer.ok()) co_return answer.status();
  if ((*answer)->status() != 200) {
    Status why = co_await failure(ctx, answer->get());
    co_return why;
  }
  BackupReader reader(false);
  for (;;) {
    auto piece = co_await (*answer)->read(ctx);
    if (!piece.ok()) co_return piece.status();
    if (piece->empty()) break;
    Status s = reader.take(*piece);
    if (s.ok()) s = file->write(*piece);
    if (!s.ok()) co_return s;
  }
  Status whole = reader.finish();
  if (whole.ok()) whole = file->finish();
  if (!whole.ok()) co_return whole;
  std::printf("%s: %zu records up to revision %lld\n", to.c_str(),
              reader.records() + reader.damaged(), static_cast<long long>(reader.revision()));
  co_return Status();
}

Status backup_directory(const std::string& data_dir, const std::string& to) {
  TRY_ASSIGN(contents, read_store(store_in(data_dir)));
  const size_t records = contents.records.size() + contents.damaged.size();
  const auto revision = static_cast<long long>(contents.revision);
  TRY(write_backup_file(to, std::move(contents)));
  std::printf("%s: %zu records up to revision %lld\n", to.c_str(), records, revision);
  return Status();
}

}  // namespace

Status back_up(const BackupSource& from, const std::string& to) {
  if (!from.data_dir.empty()) return backup_directory(from.data_dir, to);
  return run_program([&](Context ctx) { return backup_through_server(ctx, from, to); });
}

Status restore_backup(const std::string& from, const std::string& data_dir) {
  TRY_ASSIGN(contents, read_backup_file(from));
  const size_t records = contents.records.size() + contents.damaged.size();
  const auto revision = static_cast<long long>(contents.revision);
  const StorePlace place = store_in(data_dir);
  TRY(restore_store(place, std::move(contents)));
  std::printf("%s: %zu records as of revision %lld; the next revision is %lld\n",
              place.directory.c_str(), records, revision, revision + kRevisionLeap + 1);
  return Status();
}

}  // namespace keles
