import type { ITheme } from '@xterm/xterm';

const LIGHT: ITheme = {
  background: '#fbfcfd', foreground: '#22272e', cursor: '#fbfcfd', selectionBackground: '#cfdcf3',
  black: '#22272e', red: '#b3282d', green: '#1a7340', yellow: '#8a6100', blue: '#2455aa', magenta: '#8440a8', cyan: '#0e7285', white: '#6b7380',
  brightBlack: '#6b7380', brightRed: '#cf3c40', brightGreen: '#238a50', brightYellow: '#a37300', brightBlue: '#3a71d6', brightMagenta: '#9d59c0', brightCyan: '#1788a0', brightWhite: '#22272e',
};

const DARK: ITheme = {
  background: '#0f1216', foreground: '#d3d7de', cursor: '#0f1216', selectionBackground: '#2b3e60',
  black: '#3d444f', red: '#e5767a', green: '#6cc08b', yellow: '#d6ae58', blue: '#7aa5ec', magenta: '#c391dd', cyan: '#5fbccd', white: '#d3d7de',
  brightBlack: '#868e9b', brightRed: '#f19a9d', brightGreen: '#8fd4a9', brightYellow: '#e6c67f', brightBlue: '#9fbef2', brightMagenta: '#d6b2e8', brightCyan: '#89d1de', brightWhite: '#ffffff',
};

export function terminalTheme(scheme: 'light' | 'dark'): ITheme {
  return scheme === 'dark' ? DARK : LIGHT;
}
