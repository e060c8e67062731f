#include "controllers/storage/settings.h"

namespace keles::controllers {

StorageSettings& storage_settings() {
  static StorageSettings settings;
  return settings;
}

}  // namespace keles::controllers
