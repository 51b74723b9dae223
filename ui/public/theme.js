// Sets the chosen theme before anything is painted. Without a choice the system's counts.
try {
  var theme = localStorage.getItem('roentgen.theme')
  if (theme === 'dark' || theme === 'light') document.documentElement.dataset.theme = theme
} catch (e) {
  // storage is switched off: the system's theme it is
}
