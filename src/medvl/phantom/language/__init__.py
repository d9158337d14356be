"""The phrase banks of the phantom and the small grammar that fills them: wording only, no facts."""
